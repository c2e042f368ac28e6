"""Rolls back to the previous version, and records the change in ML Metadata."""

from __future__ import annotations

import datetime
import os

import ml_metadata as mlmd
from ml_metadata.proto import metadata_store_pb2

from components.pair_example_gen.files import is_remote
from components.pusher.destination import open_versions
from errors import RollbackError
from pipeline.records.root import Root

EXECUTION_TYPE = "kindred.Rollback"
_PUSHED = "PushedModel"
_DESTINATION = "pushed_destination"
_Execution = metadata_store_pb2.Execution


def roll_back(root: Root, to: str, undo: bool, reason: str) -> str:
    """Withdraws the newest version below `to`, or restores the last withdrawn one.

    Records the change as an execution of `kindred.Rollback` with the affected pushed model as its input.

    Returns:
      A sentence about the change.

    Raises:
      RollbackError: there is no root, no earlier version, or no withdrawn version.
      RootError: a run is using the root.
    """
    if not root.metadata.is_file():
        raise RollbackError(f"--root {root.path}: it contains no run. Set --root to the root of a pipeline")
    directory = to if is_remote(to) else str(root.path / to)
    with root.locked():
        versions = open_versions(directory)
        try:
            if undo:
                changed = served = versions.restore()[0]
            else:
                changed, served = versions.withdraw()
        except LookupError as error:
            raise RollbackError(str(error)) from None
        _record(root, directory, changed, {"served": served, "undo": int(undo), "reason": reason})
    if undo:
        return f"version {changed} of {directory} is served again"
    return f"version {changed} of {directory} is withdrawn and {served} is served. Restore it with --undo."


def _record(root: Root, directory: str, version: int, properties: dict[str, int | str]) -> None:
    connection = metadata_store_pb2.ConnectionConfig()
    connection.sqlite.filename_uri = str(root.metadata)
    store = mlmd.MetadataStore(connection)
    kind = store.put_execution_type(metadata_store_pb2.ExecutionType(name=EXECUTION_TYPE))
    execution = _Execution(type_id=kind, last_known_state=_Execution.COMPLETE)
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
    store.put_execution(execution, events, [])


def _pushed(store: mlmd.MetadataStore, destination: str) -> list[metadata_store_pb2.Artifact]:
    """Returns the pushed model with version `destination`: the last one, if the number was used more than once."""
    try:
        pushed = store.get_artifacts_by_type(_PUSHED)
    except mlmd.errors.NotFoundError:
        return []
    same = [a for a in pushed if a.custom_properties[_DESTINATION].string_value == destination]
    return sorted(same, key=lambda artifact: artifact.id)[-1:]
