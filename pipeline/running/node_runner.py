"""Runs single nodes of a compiled graph with TFX's launcher, and reads their results."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import ml_metadata as mlmd
from ml_metadata.proto import metadata_store_pb2
from tfx.orchestration import metadata
from tfx.orchestration.local import runner_utils
from tfx.orchestration.portable import inputs_utils
from tfx.orchestration.portable.input_resolution import exceptions
from tfx.orchestration.portable.launcher import Launcher
from tfx.orchestration.portable.mlmd import execution_lib
from tfx.proto.orchestration import pipeline_pb2

from pipeline.records.run_record import EndState
from pipeline.running.artifact_digests import add_digests, damage

_Execution = metadata_store_pb2.Execution
_LATEST = 3  # executions to look for a successful one
_SUCCESSFUL: dict[int, EndState] = {_Execution.COMPLETE: "executed", _Execution.CACHED: "cached"}


class NodeFailed(Exception):
    """TFX marked a node as failed, but its launcher did not raise an exception."""


@dataclasses.dataclass(frozen=True)
class NodeResult:
    """The result of a node: its state, and its output artifacts by key.

    Attributes:
      state: how the node ended.
      outputs: its artifacts.
      execution: its id in ML Metadata, or None if the node was skipped.
      damaged: files of earlier outputs that were missing or changed, which is why the node ran again.
    """

    state: EndState
    outputs: dict[str, list[metadata_store_pb2.Artifact]]
    execution: int | None = None
    damaged: tuple[str, ...] = ()

    def uri(self, key: str) -> str:
        """Returns the URI of the only artifact of output `key`."""
        (artifact,) = self.outputs[key]
        return str(artifact.uri)

    def property(self, key: str, name: str) -> Any:
        """Returns a custom property of the only artifact of output `key`, or None if it is not set."""
        (artifact,) = self.outputs[key]
        if name not in artifact.custom_properties:
            return None
        value = artifact.custom_properties[name]
        return getattr(value, str(value.WhichOneof("value")))


class NodeRunner:
    """Runs nodes of one compiled graph.

    Args:
      graph: the compiled graph.
      handle: connects to ML Metadata.
      fetch: gets the URI of an artifact that is missing or damaged, and restores it if an object store has it.
      operators: run executors in place of TFX's own operators, by the type of their specification.
    """

    def __init__(
        self,
        graph: pipeline_pb2.Pipeline,
        handle: metadata.Metadata,
        fetch: Callable[[str], None] | None = None,
        operators: Mapping[Any, Any] | None = None,
    ) -> None:
        self._graph, self._fetch, self._operators = graph, fetch, dict(operators or {})
        self._deployment = runner_utils.extract_local_deployment_config(graph)
        self._metadata = handle
        self._whole: set[int] = set()

    def run(self, node: pipeline_pb2.PipelineNode) -> NodeResult:
        """Runs `node`.

        Raises:
          NodeFailed: TFX marked the execution as failed but did not raise an exception.
          Exception: raised by the executor of the node.
        """
        damaged = self._discard_damaged(*self._latest(node))
        while found := self._discard_damaged(result := self._launch(node)):
            damaged += found
        return dataclasses.replace(result, damaged=tuple(damaged))

    def _latest(self, node: pipeline_pb2.PipelineNode) -> list[NodeResult]:
        """Returns the outputs that the cache most likely has: those of the latest successful execution of any run."""
        name = next(c.name.field_value.string_value for c in node.contexts.contexts if c.type.name == "node")
        with self._metadata as handle:
            context = handle.store.get_context_by_type_and_name("node", name)
            latest = mlmd.ListOptions(limit=_LATEST, order_by=mlmd.OrderByField.ID, is_asc=False)
            executions = handle.store.get_executions_by_context(context.id, latest) if context else []
            good = next((one for one in executions if one.last_known_state in _SUCCESSFUL), None)
            return [] if good is None else [NodeResult("cached", _outputs(handle.store, good.id))]

    def _launch(self, node: pipeline_pb2.PipelineNode) -> NodeResult:
        """Runs the node, or finds its outputs in the cache. Adds digests to what it wrote."""
        node_id = node.node_info.id
        executor = runner_utils.extract_executor_spec(self._deployment, node_id)
        launched = Launcher(
            pipeline_node=node,
            mlmd_connection=self._metadata,
            pipeline_info=self._graph.pipeline_info,
            pipeline_runtime_spec=self._graph.runtime_spec,
            executor_spec=executor,
            custom_driver_spec=runner_utils.extract_custom_driver_spec(self._deployment, node_id),
            custom_executor_operators=self._operators,
        ).launch()
        if launched is None or launched.execution_id is None:
            return NodeResult("skipped", {})
        with self._metadata as handle:
            (execution,) = handle.store.get_executions_by_id([launched.execution_id])
            state = _SUCCESSFUL.get(execution.last_known_state)
            if state is None:
                raise NodeFailed(_failure(node_id, execution))
            outputs = _outputs(handle.store, launched.execution_id)
            if state == "executed" and executor is not None:  # a resolver writes nothing
                handle.store.put_artifacts(add_digests(artifact for group in outputs.values() for artifact in group))
            return NodeResult(state, outputs, execution=launched.execution_id)

    def _discard_damaged(self, *results: NodeResult) -> list[str]:
        """Marks damaged outputs as deleted, so that a launch makes new ones. Returns the damaged files."""
        outputs = (artifact for result in results for group in result.outputs.values() for artifact in group)
        unknown = [artifact for artifact in outputs if artifact.id not in self._whole]
        found = [(artifact, path) for artifact in unknown if (path := self._damage(artifact))]
        self._whole |= {artifact.id for artifact in unknown}
        if not found:
            return []
        with self._metadata as handle:
            for artifact, _ in found:
                artifact.state = metadata_store_pb2.Artifact.DELETED
            handle.store.put_artifacts([artifact for artifact, _ in found])
            for execution in handle.store.get_executions_by_id([r.execution for r in results if r.execution]):
                execution.last_known_state = _Execution.FAILED  # TFX would reuse a successful one of the same run
                handle.store.put_executions([execution])
        return [path for _, path in found]

    def _damage(self, artifact: metadata_store_pb2.Artifact) -> str | None:
        path = damage(artifact)
        if path is not None and self._fetch is not None:
            self._fetch(artifact.uri)
            path = damage(artifact)
        return path

    def disagreement(self, node: pipeline_pb2.PipelineNode, is_resumed: bool) -> str | None:
        """Returns why the existing execution of `node` in this run cannot be reused, or None if it can.

        TFX reuses any finished execution with the same run id, even one with other inputs.

        Args:
          node: the node.
          is_resumed: whether this submission has started the node before.
        """
        with self._metadata as handle:
            execution = self._last_execution(handle, node)
            if execution is None:
                return None
            node_id = node.node_info.id
            if not is_resumed:
                return f"ML Metadata already has execution {execution.id} of {node_id}, which this run did not start"
            if execution.last_known_state in _SUCCESSFUL and not self._has_same_inputs(handle, node, execution):
                return f"execution {execution.id} of {node_id} is finished, but had other inputs"
        return None

    def _last_execution(
        self, handle: metadata.Metadata, node: pipeline_pb2.PipelineNode
    ) -> metadata_store_pb2.Execution | None:
        contexts = [
            handle.store.get_context_by_type_and_name(context.type.name, context.name.field_value.string_value)
            for context in node.contexts.contexts
        ]
        if not all(contexts):
            return None
        executions = execution_lib.get_executions_associated_with_all_contexts(handle, contexts)
        return max(executions, key=lambda execution: execution.id, default=None)

    def _has_same_inputs(
        self, handle: metadata.Metadata, node: pipeline_pb2.PipelineNode, execution: metadata_store_pb2.Execution
    ) -> bool:
        """Returns whether `execution` read the artifacts that `node` would read now. Resolvers read none."""
        if runner_utils.extract_executor_spec(self._deployment, node.node_info.id) is None:
            return True
        try:
            resolved = inputs_utils.resolve_input_artifacts(pipeline_node=node, metadata_handle=handle)
        except exceptions.InputResolutionError:
            return True  # the launcher reports it
        if isinstance(resolved, inputs_utils.Skip) or len(resolved) != 1:
            return True
        now = {artifact.id for artifacts in resolved[0].values() for artifact in artifacts}
        events = handle.store.get_events_by_execution_ids([execution.id])
        return now == {event.artifact_id for event in events if event.type == metadata_store_pb2.Event.INPUT}


def _outputs(store: mlmd.MetadataStore, execution_id: int) -> dict[str, list[metadata_store_pb2.Artifact]]:
    outputs: dict[str, list[metadata_store_pb2.Artifact]] = {}
    events = [
        event
        for event in store.get_events_by_execution_ids([execution_id])
        if event.type in (metadata_store_pb2.Event.OUTPUT, metadata_store_pb2.Event.INTERNAL_OUTPUT)
    ]
    artifacts = {a.id: a for a in store.get_artifacts_by_id([event.artifact_id for event in events])}
    for event in events:
        if artifacts[event.artifact_id].state == metadata_store_pb2.Artifact.DELETED:
            continue
        outputs.setdefault(event.path.steps[0].key, []).append(artifacts[event.artifact_id])
    return outputs


def _failure(node_id: str, execution: metadata_store_pb2.Execution) -> str:
    code = execution.custom_properties["__execution_result__"].string_value
    return f"{node_id} could not start because its inputs are missing {code}".rstrip()
