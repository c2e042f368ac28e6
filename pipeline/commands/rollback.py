"""Serving the version before the newest again, and the record of it in ML Metadata."""

from __future__ import annotations

import datetime
import os

import ml_metadata as mlmd
from ml_metadata.proto import metadata_store_pb2

from components.pair_example_gen.files import is_remote
from components.pusher import places
from errors import RollbackError
from pipeline.records.root import Root

EXECUTION_TYPE = "kindred.Rollback"
_PUSHED = "PushedModel"
_DESTINATION = "pushed_destination"
_Execution = metadata_store_pb2.Execution


def roll_back(root: Root, to: str, undo: bool, reason: str) -> str:
    """Withdraws the newest version below `to`, or restores the one withdrawn last; a sentence that says what it did.

    The change is recorded as an execution of `kindred.Rollback`, with the pushed model that it is about as its input.

    Raises:
      RollbackError: there is no root, no earlier version, or none that was withdrawn.
      RootError: a run is using the root.
    """
    if not root.metadata.is_file():
        raise RollbackError(f"--root {root.path}: no run was ever here; give the root of a pipeline with --root")
    directory = to if is_remote(to) else str(root.path / to)
    with root.locked():
        versions = places.at(directory)
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
    return f"version {changed} of {directory} is withdrawn; {served} is served. Bring it back with --undo."


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
    """The pushed model that became the version `destination`: the last one, if a number was used again."""
    try:
        found = store.get_artifacts_by_type(_PUSHED)
    except mlmd.errors.NotFoundError:
        return []
    same = [a for a in found if a.custom_properties[_DESTINATION].string_value == destination]
    return sorted(same, key=lambda artifact: artifact.id)[-1:]
