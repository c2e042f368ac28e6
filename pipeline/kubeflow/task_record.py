"""The record of a run whose nodes are tasks: each task makes it anew from ML Metadata when its node has ended."""

from __future__ import annotations

import copy
import dataclasses
import shutil
import time
import traceback
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import filelock
from tfx.proto.orchestration import pipeline_pb2

from pipeline.config import PipelineConfig
from pipeline.findings import note
from pipeline.local import REPORT, SUMMARY, judge
from pipeline.nodes import NodeResult, NodeRunner, Recorded
from pipeline.record import EXIT_CODES, RunRecord, State
from pipeline.report.write import write_report
from pipeline.root import Root

_LOCK_SECONDS = 120
_REFUSED = ("data_refused", "model_refused")


class TaskRecord:
    """summary.json of a run as one of its tasks sees it, and what that task has to say for itself."""

    def __init__(self, config: PipelineConfig, root: Root, run_id: str, node_id: str) -> None:
        self._config, self._root, self._node_id = config, root, node_id
        self._folder = root.runs / run_id
        self._record = RunRecord.begin(config, run_id)
        self._own: tuple[State, float, str] = ("failed", 0.0, "")
        self._found: dict[str, Any] = {}

    def bring_up_to_date(
        self,
        runner: NodeRunner,
        nodes: Mapping[str, pipeline_pb2.PipelineNode],
        result: NodeResult | None,
        fault: Exception | None,
        seconds: float,
    ) -> int:
        """Writes summary.json and the report with all that this run's nodes have done; the exit code of this task.

        Tasks that end at the same time take turns, so that the last to write has seen the others.

        Args:
          runner: reads back what the nodes did.
          nodes: every node of the graph, in its order.
          result, fault: how this task's node ended: one of them is None.
          seconds: how long it took.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(self._folder / ".lock", timeout=_LOCK_SECONDS):
            exit_code, began = 0, time.time() - seconds
            for node_id, node in nodes.items():
                if node_id == self._node_id:
                    exit_code = self._note_own(result, fault, seconds)
                elif recorded := runner.recorded(node):
                    began = min(began, recorded.began)
                    self._note_other(node_id, recorded)
            self._record.started = datetime.fromtimestamp(began, timezone.utc).isoformat(timespec="seconds")
            self._record.write(self._folder / SUMMARY, time.monotonic() - (time.time() - began))
            self._report(runner)
        return exit_code

    @property
    def last_words(self) -> str:
        """One line for a task that went well; the reason of one that did not."""
        state, seconds, detail = self._own
        line = f"{self._node_id} {state} after {seconds:.1f} s"
        return "\n".join(filter(None, [f"{line}  {detail}".rstrip(), self._found.get("error")]))

    def write_markdown(self, path: Path) -> None:
        """Writes what Kubeflow shows with the task: its state, and the figures that its node added to the record."""
        state, seconds, detail = self._own
        lines = [f"## {self._node_id}: {state} in {seconds:.1f} s", "", detail, ""]
        if metrics := self._found.get("metrics"):
            lines += _table(("metric", "value"), [(name, f"{value:.4f}") for name, value in metrics.items()])
        if blessing := self._found.get("blessing"):
            rows = [(r["rule"], f"{r['value']:.4f}", _bound(r["bound"]), _held(r["ok"])) for r in blessing]
            lines += _table(("blessing rule", "value", "bound", ""), rows)
        if checks := self._found.get("checks"):
            rows = [(c["rule"], f"{c['value']:.4g}", _bound(c["bound"]), _held(c["ok"])) for c in checks]
            lines += _table(("check of the data", "value", "bound", ""), rows)
        if error := self._found.get("error"):
            lines += ["```", str(error), "```", ""]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(lines), encoding="utf-8")

    def copy_report(self, path: Path) -> None:
        """Puts the report of the run so far where Kubeflow takes it from, if it could be written."""
        report = self._folder / REPORT
        if report.is_file():
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(report, path)

    def _report(self, runner: NodeRunner) -> None:
        """Writes the report of the run so far; a task is what it is, whether it can be told or not."""
        try:
            with runner.executions() as executions:
                write_report(self._folder, executions)
        except Exception:
            traceback.print_exc()

    def _note_own(self, result: NodeResult | None, fault: Exception | None, seconds: float) -> int:
        before = self._snapshot()
        state: State
        if result is None:
            exit_code = judge(fault or RuntimeError("no result"), self._record)
            state, detail = "failed", ""
        else:
            state, detail = note(self._record, self._config, self._root, self._node_id, result)
            refused = self._record.status in _REFUSED and before["status"] not in _REFUSED
            exit_code = EXIT_CODES[self._record.status] if refused else 0
        self._own = (state, seconds, detail)
        self._found = {key: value for key, value in self._snapshot().items() if value != before.get(key)}
        self._list(self._node_id, state, seconds)
        return exit_code

    def _note_other(self, node_id: str, recorded: Recorded) -> None:
        state, _ = note(self._record, self._config, self._root, node_id, recorded.result)
        self._list(node_id, state, recorded.seconds)

    def _list(self, node_id: str, state: State, seconds: float) -> None:
        self._record.components.append({"id": node_id, "state": state, "seconds": round(seconds, 3)})

    def _snapshot(self) -> dict[str, Any]:
        """The findings of the record, those about the data beside the others."""
        content = copy.deepcopy(dataclasses.asdict(self._record))
        return content | content.pop("data")


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> list[str]:
    return [_row(head), _row(("---",) * len(head)), *map(_row, rows), ""]


def _row(cells: tuple[str, ...]) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _bound(value: float | None) -> str:
    return "none yet" if value is None else f"{value:.4g}"


def _held(ok: bool) -> str:
    return "ok" if ok else "NOT MET"
