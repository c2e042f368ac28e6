"""The records of the nodes of a run: one file per node in the folder of the run, merged into summary.json.

A task cannot read the outcome of a failed task from ML Metadata. Therefore each task writes the records of its nodes
to `runs/RUN/tasks/NODE.json`, and every writer merges all files.
"""

from __future__ import annotations

import copy
import dataclasses
import json
import os
import uuid
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Literal

from pipeline.records.run_folder import RunFolder
from pipeline.records.run_record import EndState, RunRecord

NodeState = Literal["running", "executed", "cached", "skipped", "failed"]

_KEPT = ("pipeline", "run_id", "config", "started", "seconds", "components", "versions", "frequent_pair")
"""Fields of a run's record that nodes do not set."""


@dataclasses.dataclass(frozen=True)
class NodeRecord:
    """The outcome of one node in a run.

    Attributes:
      id: the id of the node.
      submission: the digest of the submission that the node ran for.
      state: the end state, or `running` until then. It stays `running` if the pod was killed.
      began: the start time, in seconds since the epoch.
      seconds: the duration.
      detail: one line for the console.
      found: the fields of summary.json that the node adds or changes.
      is_final: whether the failure is a refusal or a user's mistake, which a retry cannot fix.
    """

    id: str
    submission: str
    state: NodeState
    began: float
    seconds: float = 0.0
    detail: str = ""
    found: dict[str, Any] = dataclasses.field(default_factory=dict)
    is_final: bool = False

    @property
    def error(self) -> str | None:
        """The reason of a failure or refusal, or None."""
        return self.found.get("error")


class NodeRecords:
    """The records of the nodes of one run.

    Args:
      folder: the folder of the run.
    """

    def __init__(self, folder: RunFolder) -> None:
        self._folder = folder.tasks

    def read(self) -> dict[str, NodeRecord]:
        """Returns the records by node id. Empty if no task has begun."""
        files = sorted(self._folder.glob("*.json"))
        records = (NodeRecord(**json.loads(file.read_text(encoding="utf-8"))) for file in files)
        return {record.id: record for record in records}

    def write(self, record: NodeRecord) -> Path:
        """Writes the record of one node atomically. Returns its file."""
        self._folder.mkdir(parents=True, exist_ok=True)
        # Processes in two pods may have the same id.
        staged = self._folder / f".{record.id}.{uuid.uuid4().hex}"
        staged.write_text(json.dumps(dataclasses.asdict(record)) + "\n", encoding="utf-8")
        file = self._folder / f"{record.id}.json"
        os.replace(staged, file)
        return file


def findings(before: RunRecord, after: RunRecord) -> dict[str, Any]:
    """Returns the fields of summary.json that differ between `before` and `after`. Compares `data` key by key."""
    old, new = dataclasses.asdict(before), dataclasses.asdict(after)
    found = {name: value for name, value in new.items() if name not in _KEPT and value != old[name]}
    if "data" in found:
        found["data"] = {key: value for key, value in new["data"].items() if old["data"].get(key) != value}
    return found


def merge(empty: RunRecord, records: Mapping[str, NodeRecord], node_ids: Sequence[str]) -> RunRecord:
    """Merges the records of the nodes into the record of the run.

    Args:
      empty: the record of the run before its first node.
      records: the records by node id. Nodes that did not run have none.
      node_ids: all nodes in the order of the graph.
    """
    merged = copy.deepcopy(empty)
    known = [records[node_id] for node_id in node_ids if node_id in records]
    for record in known:
        for name, value in record.found.items():
            if name == "data":
                merged.data.update(value)
            else:
                setattr(merged, name, value)
    merged.components = [_component(record) for record in _failed_last(known) if record.state != "running"]
    if known:
        began = min(record.began for record in known)
        merged.started = datetime.fromtimestamp(began, timezone.utc).isoformat(timespec="seconds")
    return merged


def _failed_last(records: Iterable[NodeRecord]) -> list[NodeRecord]:
    """Sorts failed nodes last, as in the record of a local run."""
    return sorted(records, key=lambda record: record.state == "failed")


def _component(record: NodeRecord) -> dict[str, EndState | float]:
    return {"id": record.id, "state": record.state, "seconds": round(record.seconds, 3)}  # type: ignore[dict-item]
