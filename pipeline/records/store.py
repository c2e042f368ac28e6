"""Opens ML Metadata's database of a root, and records what a command does in it."""

from __future__ import annotations

import contextlib
import datetime
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import ml_metadata as mlmd
from ml_metadata.proto import metadata_store_pb2

_Execution = metadata_store_pb2.Execution


def open_store(file: Path) -> mlmd.MetadataStore:
    """Opens an existing SQLite file."""
    connection = metadata_store_pb2.ConnectionConfig()
    connection.sqlite.filename_uri = os.fspath(file)
    return mlmd.MetadataStore(connection)


@contextlib.contextmanager
def recorded(
    store: mlmd.MetadataStore,
    kind: str,
    properties: Mapping[str, int | str | None],
    inputs: Sequence[metadata_store_pb2.Artifact],
) -> Iterator[None]:
    """Stores an execution before the block, and afterwards whether the block succeeded.

    Args:
      store: ML Metadata.
      kind: the type of the execution.
      properties: facts about it, next to the time.
      inputs: the artifacts that it changes.
    """
    type_id = store.put_execution_type(metadata_store_pb2.ExecutionType(name=kind))
    execution = _Execution(type_id=type_id, last_known_state=_Execution.RUNNING)
    now = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
    for name, value in {**properties, "when": now}.items():
        if isinstance(value, int):
            execution.custom_properties[name].int_value = value
        else:
            execution.custom_properties[name].string_value = value or ""
    event = metadata_store_pb2.Event(type=metadata_store_pb2.Event.INPUT)
    execution.id, _, _ = store.put_execution(execution, [(artifact, event) for artifact in inputs], [])
    execution.last_known_state = _Execution.FAILED
    try:
        yield
        execution.last_known_state = _Execution.COMPLETE
    finally:
        store.put_executions([execution])
