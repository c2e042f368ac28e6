"""Compares the requests of each version with the training data of that version."""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any

import numpy as np
import pyarrow as pa

from components.data_gate.rules import Check, check_traffic
from components.data_gate.settings import GateSettings
from components.pair_statistics.distribution import Distribution
from pipeline.commands.monitor.traffic import SIDES, Traffic
from pipeline.records import node_ids
from pipeline.records.executions import Executions
from pipeline.records.root import Root
from pipeline.records.run_folder import RunFolder
from pipeline.report.sources import Absent, Run
from trainer.data.examples import TRAIN, Examples
from trainer.export.tables import Tables

# Training pairs whose scores are compared with those of requests.
_PAIRS = 200_000


@dataclasses.dataclass(frozen=True)
class Compared:
    """A version: its requests, its training data, and the checks.

    Attributes:
      traffic: the requests.
      run: the run that published the version, or None if the root has none.
      reference: ids of the training pairs, and the scores that the model gives them. None without a run.
      checks: the checks, none without a run.
      absent: why there are no checks.
    """

    traffic: Traffic
    run: str | None = None
    reference: Distribution | None = None
    checks: tuple[Check, ...] = ()
    absent: str | None = None

    @property
    def ok(self) -> bool:
        """Whether all checks hold."""
        return all(check.ok for check in self.checks)

    def unknown_share(self, side: str) -> float:
        """Returns the share of requested ids of a side that the model did not know."""
        return self.traffic.unknown[side] / max(self.traffic.ids[side].total(), 1)

    def record(self) -> dict[str, Any]:
        """Returns the JSON object of the version."""
        return {
            "model": self.traffic.model,
            "version": self.traffic.version,
            "run": self.run,
            "requests": dict(self.traffic.requests),
            "period": self.traffic.period,
            "ids": {side: self.traffic.ids[side].total() for side in SIDES},
            "unknown_share": {side: self.unknown_share(side) for side in SIDES},
            "scores": sum(map(len, self.traffic.scores)),
            "checks": [check.record() for check in self.checks],
            **({"absent": self.absent} if self.absent else {}),
        }


def compare(root: Root, traffic: Traffic) -> Compared:
    """Compares the requests of a version with its training data.

    Args:
      root: the root that published the version.
      traffic: the requests.
    """
    folder = _publisher(root, traffic.version)
    if folder is None:
        return Compared(traffic, absent=f"{root} has no record of a run that published version {traffic.version}.")
    executions = Executions.in_file(root.metadata) if root.metadata.is_file() else None
    for execution in executions.of_run(folder.path.name).values() if executions else ():
        for artifact in itertools.chain(*execution.outputs.values()):
            root.ensure(artifact.uri)
    run = Run.of(folder, executions)
    try:
        train = run.splits[TRAIN]
        reference = dataclasses.replace(train, scores=_training_scores(run))
    except Absent as reason:
        return Compared(traffic, folder.path.name, absent=str(reason))
    settings = GateSettings.model_validate(run.config["validate"])
    checks = tuple(check_traffic(traffic.distribution, reference, settings))
    return Compared(traffic, folder.path.name, reference, checks)


def _publisher(root: Root, version: int) -> RunFolder | None:
    """Returns the last run that published a version."""
    folders = (RunFolder(path) for path in sorted(root.runs.glob("*"), reverse=True))
    for folder in folders:
        published = folder.read_summary().get("published") if folder.is_recorded() else None
        if published and published.rstrip("/").rsplit("/", 1)[-1] == str(version):
            return folder
    return None


def _training_scores(run: Run) -> np.ndarray:
    """Returns the sorted scores that the model gives some of its training pairs, evenly chosen."""
    examples, tables = Examples(run.uri(node_ids.EXAMPLE_GEN, "examples")), run.tables
    rows = sum(len(block) for block in examples.blocks(TRAIN))
    step = -(-rows // _PAIRS) or 1
    scores, start = [np.zeros(0, np.float32)], 0
    for block in examples.blocks(TRAIN):
        chosen = np.arange(-start % step, len(block), step)
        start += len(block)
        scores.append(_scores(tables, examples, block.left[chosen], block.right[chosen]))
    return np.sort(np.concatenate(scores))


def _scores(tables: Tables, examples: Examples, left: np.ndarray, right: np.ndarray) -> np.ndarray:
    (of_left, left), (of_right, right) = (np.unique(codes, return_inverse=True) for codes in (left, right))
    ids = examples.left.ids.take(pa.array(of_left)), examples.right.ids.take(pa.array(of_right))
    return tables.scores(*ids, left, right)[0]
