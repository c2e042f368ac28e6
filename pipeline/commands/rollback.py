"""Rolls back to the previous version, and records the change in ML Metadata."""

from __future__ import annotations

import contextlib
import datetime
import os
from collections.abc import Iterator

import ml_metadata as mlmd
from ml_metadata.proto import metadata_store_pb2

from components.pair_example_gen.files import is_remote
from components.pusher.destination import open_versions
from errors import RollbackError
from pipeline.records.history import ROLLBACK as EXECUTION_TYPE
from pipeline.records.history import storage_of
from pipeline.records.metadata_backup import backup_of, is_sound, restore_if_damaged
from pipeline.records.root import Root

_PUSHED = "PushedModel"
_DESTINATION = "pushed_destination"
_Execution = metadata_store_pb2.Execution


def roll_back(root: Root, to: str, undo: bool, reason: str) -> str:
    """Withdraws the newest version below `to`, or restores the last withdrawn one.

    Records the change as an execution of `kindred.Rollback` with the affected pushed model as its input. It is stored
    before the change, so that nothing changes without a record.

    Returns:
      A sentence about the change.

    Raises:
      RollbackError: there is no root, no earlier version, or no withdrawn version.
      RootError: a run is using the root, or its database is damaged.
    """
    if not root.metadata.is_file() and not backup_of(root.metadata).is_file():
        raise RollbackError(f"--root {root.path}: it contains no run. Set --root to the root of a pipeline")
    directory = to if is_remote(to) else str(root.path / to)
    with root.locked():
        restored = restore_if_damaged(root.metadata, root.artifacts)
        if not is_sound(root.metadata):
            raise RollbackError(
                f"--root {root.path}: its database {root.metadata.name} is empty, so it contains no run"
            )
        versions = open_versions(directory, storage=storage_of(root))
        try:
            changed, other = versions.restoration() if undo else versions.withdrawal()
        except LookupError as error:
            raise RollbackError(str(error)) from None
        served = changed if undo else other
        with _recorded(root, directory, changed, {"served": served, "undo": int(undo), "reason": reason}):
            (versions.restore if undo else versions.withdraw)(changed)
    told = f"{restored}. " if restored else ""
    if undo:
        return f"{told}version {changed} of {directory} is served again"
    return f"{told}version {changed} of {directory} is withdrawn and {served} is served. Restore it with --undo."


@contextlib.contextmanager
def _recorded(root: Root, directory: str, version: int, properties: dict[str, int | str | None]) -> Iterator[None]:
    """Stores an execution, and whether the block succeeded."""
    connection = metadata_store_pb2.ConnectionConfig()
    connection.sqlite.filename_uri = str(root.metadata)
    store = mlmd.MetadataStore(connection)
    kind = store.put_execution_type(metadata_store_pb2.ExecutionType(name=EXECUTION_TYPE))
    execution = _Execution(type_id=kind, last_known_state=_Execution.RUNNING)
    now = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
    for name, value in {"directory": directory, "version": version, "when": now, **properties}.items():
        if isinstance(value, int):
            execution.custom_properties[name].int_value = value
        else:
            execution.custom_properties[name].string_value = value
    events = [
        (artifact, metadata_store_pb2.Event(type=metadata_store_pb2.Event.INPUT))
        for artifact in _pushed(store, os.path.join(directory, str(version)))
    ]
    execution.id, _, _ = store.put_execution(execution, events, [])
    execution.last_known_state = _Execution.FAILED
    try:
        yield
        execution.last_known_state = _Execution.COMPLETE
    finally:
        store.put_executions([execution])


def _pushed(store: mlmd.MetadataStore, destination: str) -> list[metadata_store_pb2.Artifact]:
    """Returns the pushed model with version `destination`: the last one, if the number was used more than once."""
    try:
        pushed = store.get_artifacts_by_type(_PUSHED)
    except mlmd.errors.NotFoundError:
        return []
    same = [a for a in pushed if a.custom_properties[_DESTINATION].string_value == destination]
    return sorted(same, key=lambda artifact: artifact.id)[-1:]
