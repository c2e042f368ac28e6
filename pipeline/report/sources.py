"""The sources of a report: the record of the run, and the artifacts of its nodes."""

from __future__ import annotations

import dataclasses
import functools
import os
from pathlib import Path
from typing import Any

from components.evaluator.evaluation import Evaluation, read_evaluation
from components.pair_statistics import distribution
from components.pair_statistics.distribution import Distribution
from pipeline.records import node_ids
from pipeline.records.executions import Execution, Executions
from pipeline.records.progress import Progress, is_alive, progress_of, ran_out_of_memory
from pipeline.records.run_folder import RunFolder
from trainer.export.tables import Tables, read_tables

_MODEL_FOLDER = "Format-Serving"  # TFX's folder below a model artifact


class Absent(Exception):
    """A part that this run does not have. The message is a sentence with the reason."""


@dataclasses.dataclass(frozen=True)
class Run:
    """A run.

    Attributes:
      summary: content of summary.json.
      folder: folder of the run.
      nodes: executions in ML Metadata, by node id.
      progress: progress of an unfinished run, None once it has ended.
    """

    summary: dict[str, Any]
    folder: RunFolder
    executions: Executions | None
    nodes: dict[str, Execution]
    progress: Progress | None = None

    @classmethod
    def of(cls, folder: RunFolder, executions: Executions | None) -> Run:
        """Reads the run in `folder`."""
        alive = is_alive(folder)
        summary = folder.read_summary()
        nodes = executions.of_run(summary["run_id"]) if executions else {}
        return cls(summary, folder, executions, nodes, progress_of(summary, alive, nodes, ran_out_of_memory(folder)))

    @property
    def root(self) -> Path:
        """The root of the pipeline."""
        return self.folder.root.path

    @property
    def config(self) -> dict[str, Any]:
        """The configuration, including defaults."""
        config: dict[str, Any] = self.summary["config"]
        return config

    @property
    def failed_node(self) -> str | None:
        """The node where the run ended early, or None."""
        if self.progress:
            return self.progress.node if self.progress.alive is False else None
        components = self.summary["components"]
        return components[-1]["id"] if components and components[-1]["state"] == "failed" else None

    @property
    def withdrawn(self) -> str | None:
        """When and why the published version was withdrawn, or None if it is not."""
        published = self.summary.get("published")
        if not published or self.executions is None:
            return None
        return self.executions.withdrawals().get(self.folder.root.place_of(published))

    def uri(self, node_id: str, key: str) -> str:
        """Returns the URI of output `key` of a node.

        Raises:
          Absent: the run has no such output, or it was deleted.
        """
        node = self.nodes.get(node_id)
        artifact = node.output(key) if node else None
        if artifact is None:
            raise Absent(self.why_not(node_id))
        self.folder.root.ensure(artifact.uri)
        if not os.path.isdir(artifact.uri):
            raise Absent(f"The output of {node_id} was deleted: {artifact.uri}.")
        return artifact.uri

    def why_not(self, node_id: str) -> str:
        """Returns the reason why a node has no output."""
        if self.progress and self.progress.alive is not False:
            at_it = self.progress.node == node_id
            return f"{node_id} has not finished yet." if at_it else f"The run has not finished {node_id} yet."
        if self.failed_node == node_id:
            return f"{node_id} did not finish."
        if self.failed_node:
            return f"The run ended at {self.failed_node}, before {node_id}."
        if self.summary["status"] == "tuned":
            return f"The run searched for settings and did not include {node_id}."
        return f"The run did not reach {node_id}."

    @functools.cached_property
    def splits(self) -> dict[str, Distribution]:
        """The distribution of each split."""
        return _distributions(self.uri(node_ids.STATISTICS_GEN, "statistics"))

    @functools.cached_property
    def last_accepted(self) -> dict[str, Distribution] | None:
        """The distributions of the last accepted data, or None if there are none or they were deleted."""
        node = self.nodes.get(node_ids.LAST_ACCEPTED)
        decision = node.output("last_decision") or node.output("decision") if node else None
        uri = decision.properties.get("statistics_uri", "") if decision else ""
        if uri:
            self.folder.root.ensure(uri)
        return _distributions(uri) if os.path.isdir(os.path.join(uri, "distributions")) else None

    @functools.cached_property
    def verdict(self) -> Evaluation:
        """The verdict of the Evaluator."""
        return read_evaluation(self.uri(node_ids.EVALUATOR, "evaluation"))

    @functools.cached_property
    def tables(self) -> Tables:
        """The tables of the model."""
        return read_tables(os.path.join(self.uri(node_ids.TRAINER, "model"), _MODEL_FOLDER))


def _distributions(uri: str) -> dict[str, Distribution]:
    folder = os.path.join(uri, "distributions")
    return {split: distribution.read(os.path.join(folder, split)) for split in sorted(os.listdir(folder), reverse=True)}
