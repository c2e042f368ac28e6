"""Reads the executions of a run from ML Metadata. This module does not import TFX."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Any

import ml_metadata as mlmd
from ml_metadata.proto import metadata_store_pb2

from components.pusher.withdrawals import withdrawals

_Event, _Execution = metadata_store_pb2.Event, metadata_store_pb2.Execution
# TFX records resolved artifacts as INTERNAL_OUTPUT events.
_OUTPUTS = (_Event.OUTPUT, _Event.INTERNAL_OUTPUT, _Event.PENDING_OUTPUT)
_RUN, _NODE = "pipeline_run", "node"


@dataclasses.dataclass(frozen=True)
class Artifact:
    """An artifact with its URI and its properties."""

    id: int
    uri: str
    properties: dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Execution:
    """An execution of a node: properties, inputs and outputs by key."""

    id: int
    run_id: str
    node_id: str
    cached: bool
    properties: dict[str, Any]
    inputs: dict[str, list[Artifact]]
    outputs: dict[str, list[Artifact]]
    running: bool = False
    began: float = 0.0
    """Seconds since the epoch."""

    def input(self, key: str) -> Artifact | None:
        """Returns the first artifact of input `key`, or None."""
        return next(iter(self.inputs.get(key, ())), None)

    def output(self, key: str) -> Artifact | None:
        """Returns the first artifact of output `key`, or None."""
        return next(iter(self.outputs.get(key, ())), None)


class Executions:
    """The executions in a metadata store."""

    def __init__(self, store: mlmd.MetadataStore) -> None:
        self._store = store

    @classmethod
    def in_file(cls, path: Path) -> Executions:
        """Opens an existing SQLite file."""
        connection = metadata_store_pb2.ConnectionConfig()
        connection.sqlite.filename_uri = os.fspath(path)
        return cls(mlmd.MetadataStore(connection))

    def of_run(self, run_id: str) -> dict[str, Execution]:
        """Returns the last execution of each node in the run, by node id. A failed execution has no outputs."""
        context = self._store.get_context_by_type_and_name(_RUN, run_id)
        if context is None:
            return {}
        executions = sorted(self._store.get_executions_by_context(context.id), key=lambda execution: execution.id)
        return {described.node_id: described for described in map(self._describe, executions)}

    def maker(self, artifact: Artifact) -> Execution | None:
        """Returns the execution that created `artifact`, not one that reused it from the cache."""
        events = self._store.get_events_by_artifact_ids([artifact.id])
        made = [event.execution_id for event in events if event.type in (_Event.OUTPUT, _Event.PENDING_OUTPUT)]
        executions = [self._describe(execution) for execution in self._store.get_executions_by_id(made)]
        return min((e for e in executions if not e.cached), key=lambda execution: execution.id, default=None)

    def made_from(self, artifact: Artifact, key: str) -> list[Artifact]:
        """Returns the distinct artifacts of output `key` of all executions with input `artifact`, oldest first."""
        events = self._store.get_events_by_artifact_ids([artifact.id])
        used = sorted({event.execution_id for event in events if event.type == _Event.INPUT})
        executions = (self._describe(execution) for execution in self._store.get_executions_by_id(used))
        return list({made.id: made for execution in executions for made in execution.outputs.get(key, ())}.values())

    def withdrawals(self) -> dict[str, str]:
        """Returns when and why versions were withdrawn that were not restored since, by path or URL."""
        return withdrawals(self._store)

    def _describe(self, execution: metadata_store_pb2.Execution) -> Execution:
        contexts = {context.type: context.name for context in self._store.get_contexts_by_execution(execution.id)}
        inputs: dict[str, list[Artifact]] = {}
        outputs: dict[str, list[Artifact]] = {}
        events = self._store.get_events_by_execution_ids([execution.id])
        artifacts = {a.id: a for a in self._store.get_artifacts_by_id(sorted({event.artifact_id for event in events}))}
        failed = execution.last_known_state not in (_Execution.COMPLETE, _Execution.CACHED)
        for event in events:
            of = inputs if event.type == _Event.INPUT else outputs if event.type in _OUTPUTS else None
            if of is not None and not (of is outputs and failed):
                of.setdefault(event.path.steps[0].key, []).append(_artifact(artifacts[event.artifact_id]))
        return Execution(
            id=execution.id,
            run_id=contexts.get(_RUN, ""),
            node_id=contexts.get(_NODE, "").rpartition(".")[2],
            cached=execution.last_known_state == _Execution.CACHED,
            properties=_values(execution),
            inputs=inputs,
            outputs=outputs,
            running=execution.last_known_state == _Execution.RUNNING,
            began=execution.create_time_since_epoch / 1000,
        )


def _artifact(artifact: metadata_store_pb2.Artifact) -> Artifact:
    return Artifact(artifact.id, artifact.uri, _values(artifact))


def _values(entity: metadata_store_pb2.Artifact | metadata_store_pb2.Execution) -> dict[str, Any]:
    values = {**entity.properties, **entity.custom_properties}
    return {name: getattr(value, str(value.WhichOneof("value"))) for name, value in values.items()}
