"""Launching one node of a compiled graph with TFX's own launcher, and reading back what it did."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import ml_metadata as mlmd
from ml_metadata.proto import metadata_store_pb2
from tfx.orchestration import metadata
from tfx.orchestration.local import runner_utils
from tfx.orchestration.portable.launcher import Launcher
from tfx.orchestration.portable.mlmd import execution_lib
from tfx.proto.orchestration import pipeline_pb2

from pipeline.executions import Executions
from pipeline.record import State

_Execution = metadata_store_pb2.Execution
_SUCCESSFUL: dict[int, State] = {_Execution.COMPLETE: "executed", _Execution.CACHED: "cached"}


class NodeFailed(Exception):
    """A node that TFX marked as failed although its launcher returned."""


@dataclasses.dataclass(frozen=True)
class NodeResult:
    """What a node did: its state and its output artifacts by key."""

    state: State
    outputs: dict[str, list[metadata_store_pb2.Artifact]]

    def uri(self, key: str) -> str:
        """The URI of the only artifact of output `key`."""
        (artifact,) = self.outputs[key]
        return str(artifact.uri)

    def property(self, key: str, name: str) -> Any:
        """A custom property of the only artifact of output `key`; None where it is not set."""
        (artifact,) = self.outputs[key]
        if name not in artifact.custom_properties:
            return None
        value = artifact.custom_properties[name]
        return getattr(value, str(value.WhichOneof("value")))


@dataclasses.dataclass(frozen=True)
class Recorded:
    """What a node did, read back: when it began (seconds since the epoch) and how many seconds it took."""

    result: NodeResult
    began: float
    seconds: float


class NodeRunner:
    """Runs nodes of one compiled graph against the metadata store behind `connection`."""

    def __init__(
        self,
        graph: pipeline_pb2.Pipeline,
        connection: metadata.ConnectionConfigType,
        handle: Callable[[metadata.ConnectionConfigType], metadata.Metadata] = metadata.Metadata,
    ) -> None:
        self._graph = graph
        self._deployment = runner_utils.extract_local_deployment_config(graph)
        self._metadata = handle(connection)

    def run(self, node: pipeline_pb2.PipelineNode) -> NodeResult:
        """Launches `node`.

        Raises:
          NodeFailed: TFX published the execution as failed without raising.
          Exception: whatever the node's executor raised.
        """
        node_id = node.node_info.id
        launched = Launcher(
            pipeline_node=node,
            mlmd_connection=self._metadata,
            pipeline_info=self._graph.pipeline_info,
            pipeline_runtime_spec=self._graph.runtime_spec,
            executor_spec=runner_utils.extract_executor_spec(self._deployment, node_id),
            custom_driver_spec=runner_utils.extract_custom_driver_spec(self._deployment, node_id),
        ).launch()
        if launched is None or launched.execution_id is None:
            return NodeResult("skipped", {})
        with self._metadata as handle:
            (execution,) = handle.store.get_executions_by_id([launched.execution_id])
            state = _SUCCESSFUL.get(execution.last_known_state)
            if state is None:
                raise NodeFailed(_failure(node_id, execution))
            return NodeResult(state, _outputs(handle.store, launched.execution_id))

    @contextlib.contextmanager
    def executions(self) -> Iterator[Executions]:
        """All that the metadata store knows of executions."""
        with self._metadata as handle:
            yield Executions(handle.store)

    def recorded(self, node: pipeline_pb2.PipelineNode) -> Recorded | None:
        """What `node` did in this run as ML Metadata have it; None if it has not ended well (yet)."""
        with self._metadata as handle:
            contexts = [
                handle.store.get_context_by_type_and_name(context.type.name, context.name.field_value.string_value)
                for context in node.contexts.contexts
            ]
            if not all(contexts):
                return None
            executions = execution_lib.get_executions_associated_with_all_contexts(handle, contexts)
            for execution in executions:
                if state := _SUCCESSFUL.get(execution.last_known_state):
                    began, ended = execution.create_time_since_epoch, execution.last_update_time_since_epoch
                    outputs = _outputs(handle.store, execution.id)
                    return Recorded(NodeResult(state, outputs), began / 1000, (ended - began) / 1000)
        return None


def _outputs(store: mlmd.MetadataStore, execution_id: int) -> dict[str, list[metadata_store_pb2.Artifact]]:
    outputs: dict[str, list[metadata_store_pb2.Artifact]] = {}
    events = [
        event
        for event in store.get_events_by_execution_ids([execution_id])
        if event.type in (metadata_store_pb2.Event.OUTPUT, metadata_store_pb2.Event.INTERNAL_OUTPUT)
    ]
    artifacts = {a.id: a for a in store.get_artifacts_by_id([event.artifact_id for event in events])}
    for event in events:
        outputs.setdefault(event.path.steps[0].key, []).append(artifacts[event.artifact_id])
    return outputs


def _failure(node_id: str, execution: metadata_store_pb2.Execution) -> str:
    code = execution.custom_properties["__execution_result__"].string_value
    return f"{node_id} could not start: its inputs are not there {code}".rstrip()
