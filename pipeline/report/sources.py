"""Where the parts of a report come from: the record of the run, and the artifacts that its nodes left."""

from __future__ import annotations

import dataclasses
import functools
import os
from pathlib import Path
from typing import Any

from components.evaluator.verdict import Verdict, read_verdict
from components.pair_statistics import distribution
from components.pair_statistics.distribution import Distribution
from pipeline.records.executions import Execution, Executions
from pipeline.records.progress import Progress, is_alive, progress_of
from pipeline.records.run_folder import RunFolder
from trainer.export.tables import Tables, read_tables

# As the graph calls them (pipeline.running.graph), whose import costs TFX.
EXAMPLE_GEN, STATISTICS, LAST_ACCEPTED, GATE, TRAINER, EVALUATOR, CANARY = (
    "PairExampleGen",
    "StatisticsGen",
    "LastAcceptedData",
    "DataGate",
    "Trainer",
    "Evaluator",
    "ServingCanary",
)
_MODEL_FOLDER = "Format-Serving"  # TFX's, below a model artifact


class Absent(Exception):
    """A part that this run does not have; its message says why, in a sentence."""


@dataclasses.dataclass(frozen=True)
class Run:
    """One run: `summary` is what summary.json says, `folder` where that is, `nodes` what ML Metadata say.

    `progress` is None once the run has ended.
    """

    summary: dict[str, Any]
    folder: RunFolder
    executions: Executions | None
    nodes: dict[str, Execution]
    progress: Progress | None = None

    @classmethod
    def of(cls, folder: RunFolder, executions: Executions | None) -> Run:
        """The run whose record is in `folder`."""
        alive = is_alive(folder)
        summary = folder.read_summary()
        nodes = executions.of_run(summary["run_id"]) if executions else {}
        return cls(summary, folder, executions, nodes, progress_of(summary, alive, nodes))

    @property
    def root(self) -> Path:
        """The root of the pipeline."""
        return self.folder.root.path

    @property
    def config(self) -> dict[str, Any]:
        """The pipeline file, defaults filled in."""
        config: dict[str, Any] = self.summary["config"]
        return config

    @property
    def failed_node(self) -> str | None:
        """Where the run ended early; None if it did not, or not in a node."""
        if self.progress:
            return self.progress.node if self.progress.alive is False else None
        components = self.summary["components"]
        return components[-1]["id"] if components and components[-1]["state"] == "failed" else None

    def uri(self, node_id: str, key: str) -> str:
        """Where output `key` of a node is.

        Raises:
          Absent: the run has no such output, or it was deleted.
        """
        node = self.nodes.get(node_id)
        artifact = node.output(key) if node else None
        if artifact is None:
            raise Absent(self.why_not(node_id))
        if not os.path.isdir(artifact.uri):
            raise Absent(f"What {node_id} wrote is gone: {artifact.uri}.")
        return artifact.uri

    def why_not(self, node_id: str) -> str:
        """Why there is nothing of a node."""
        if self.progress and self.progress.alive is not False:
            at_it = self.progress.node == node_id
            return f"{node_id} has not ended yet." if at_it else f"The run has not got to the end of {node_id} yet."
        if self.failed_node == node_id:
            return f"{node_id} did not get to the end."
        if self.failed_node:
            return f"The run ended at {self.failed_node}, before {node_id}."
        if self.summary["status"] == "tuned":
            return f"The run searched for settings, and did not go on to {node_id}."
        return f"The run did not get to {node_id}."

    @functools.cached_property
    def splits(self) -> dict[str, Distribution]:
        """The distribution of each split."""
        return _distributions(self.uri(STATISTICS, "statistics"))

    @functools.cached_property
    def last_accepted(self) -> dict[str, Distribution] | None:
        """Those of the data that the gate accepted last; None where there are none, or they were deleted."""
        node = self.nodes.get(LAST_ACCEPTED)
        decision = node.output("last_decision") or node.output("decision") if node else None
        uri = decision.properties.get("statistics_uri", "") if decision else ""
        return _distributions(uri) if os.path.isdir(os.path.join(uri, "distributions")) else None

    @functools.cached_property
    def verdict(self) -> Verdict:
        """What the Evaluator found."""
        return read_verdict(self.uri(EVALUATOR, "evaluation"))

    @functools.cached_property
    def tables(self) -> Tables:
        """The tables of the model."""
        return read_tables(os.path.join(self.uri(TRAINER, "model"), _MODEL_FOLDER))


def _distributions(uri: str) -> dict[str, Distribution]:
    folder = os.path.join(uri, "distributions")
    return {split: distribution.read(os.path.join(folder, split)) for split in sorted(os.listdir(folder), reverse=True)}
