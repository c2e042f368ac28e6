"""Runs the nodes of one task with TFX's launcher. Importing this module imports TFX."""

from __future__ import annotations

import contextlib
import copy
from typing import Any

from tfx.proto.orchestration import pipeline_pb2

from compat.tfx_cache import keys_without
from errors import ConfigError, RunIdError
from pipeline.config import PipelineConfig
from pipeline.config.sections.kubeflow import Metadata
from pipeline.kubeflow.metadata import PatientMetadata, wait_for
from pipeline.kubeflow.node_records import findings
from pipeline.kubeflow.shape import digest, shape_of
from pipeline.kubeflow.shared_files import share_directories
from pipeline.kubeflow.staging import Staging
from pipeline.kubeflow.stored_metadata import opener
from pipeline.kubeflow.stored_root import StoredRoot
from pipeline.records.root import Root
from pipeline.records.run_record import EndState, RunRecord
from pipeline.running.findings import note
from pipeline.running.graph import compile_graph, create_pipeline
from pipeline.running.node_runner import NodeRunner


class NodeRuns:
    """The nodes of the graph of one run."""

    def __init__(
        self, config: PipelineConfig, root: Root, run_id: str, graph: pipeline_pb2.Pipeline, store: Any
    ) -> None:
        self._config, self._root, self._run_id = config, root, run_id
        self._nodes = {entry.pipeline_node.node_info.id: entry.pipeline_node for entry in graph.nodes}
        handle, stored = PatientMetadata(store, opener(root)), StoredRoot.of(root)
        if stored:
            self._runner = NodeRunner(graph, handle, stored.fetch_artifact, Staging(stored).operators)
        else:
            self._runner = NodeRunner(graph, handle)

    @classmethod
    def of(
        cls,
        config: PipelineConfig,
        root: Root,
        run_id: str,
        accept_reason: str | None,
        graph_digest: str,
        metadata: Metadata,
    ) -> NodeRuns:
        """Builds the graph of `config` and waits until ML Metadata answers.

        Args:
          config: the pipeline file, updated with the parameters of the run.
          root: the root directory of the pipeline.
          run_id: the id of the run.
          accept_reason: the reason for overruling the gate. None: do not overrule it.
          graph_digest: the digest of the graph in the package.
          metadata: the location of ML Metadata.

        Raises:
          ConfigError: the image has another version than the package.
          ServiceUnavailable: ML Metadata does not answer.
        """
        share_directories()
        graph = compile_graph(create_pipeline(config, root, accept_reason), run_id)
        if digest(shape_of(graph)) != graph_digest:
            raise ConfigError(
                "the graph of this image is not the graph of the package: they have different versions, or a run "
                "parameter changes the components of the graph; compile again with the version of kubeflow.image"
            )
        return cls(config, root, run_id, graph, wait_for(metadata))

    def run(self, node_id: str, record: RunRecord, is_resumed: bool) -> tuple[EndState, str, dict[str, Any]]:
        """Runs a node.

        Args:
          node_id: the id of the node.
          record: the record of the run so far.
          is_resumed: whether an earlier attempt of this submission began the node.

        Returns:
          The state of the node, one line for the console, and the fields of summary.json that it changes.

        Raises:
          RunIdError: another submission has run the node under this run's id.
          Exception: the error of the node's executor.
        """
        node = self._nodes[node_id]
        if reason := self._runner.disagreement(node, is_resumed):
            raise RunIdError(f"run id {self._run_id}: {reason}; start a new run")
        # Pods have their working copies at different paths.
        with keys_without(str(self._root.path)) if self._root.identity else contextlib.nullcontext():
            result = self._runner.run(node)
        after = copy.deepcopy(record)
        state, detail = note(after, self._config, self._root, node_id, result)
        return state, detail, findings(record, after)
