"""Publishes a version that awaits approval, and records who decided what in ML Metadata and in the run's record."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import ml_metadata as mlmd
from ml_metadata.proto import metadata_store_pb2

from components.batch_lists.stored import open_lists
from components.pusher.destination import open_versions
from components.pusher.executor import AWAITING_PROPERTY, PUSHED_PROPERTY
from components.pusher.versions import Versions
from components.pusher.withdrawals import DESTINATION_PROPERTY, PUSHED_MODEL
from errors import RollbackError
from pipeline.commands.rollback import rewrite
from pipeline.records.history import destination_of, runs_of, storage_of
from pipeline.records.metadata_backup import is_sound, restore_if_damaged
from pipeline.records.root import Root
from pipeline.records.run_folder import RunFolder
from pipeline.records.store import open_store, recorded

EXECUTION_TYPE = "kindred.Approval"


def approve(root: Root, version: int, reason: str, write_report: Callable[[RunFolder], object]) -> str:
    """Publishes the waiting version `version`, after its files are compared with its manifest.

    The approval is stored before the version appears, so that nothing is published without a record. A second call
    completes the records of one that was interrupted after that.

    Args:
      root: the root.
      version: the number of the version.
      reason: why, for the record.
      write_report: writes the report of a run.

    Returns:
      The directory or the URL of the published version.

    Raises:
      RollbackError: there is no such version, a newer one is served, or its files are damaged.
      RootError: a run or another machine is using the root, or its database is damaged.
      StoreError, StoreUnavailable: a store refuses a request, cannot be reached, or fails.
    """
    with root.locked():
        storage, directory = storage_of(root), destination_of(root)
        versions = open_versions(directory, storage=storage)
        restore_if_damaged(root.metadata, root.artifacts)
        if not is_sound(root.metadata):
            raise RollbackError(f"--root {root}: its database {root.metadata.name} is empty. Run again")
        store = open_store(root.metadata)
        published_at = os.path.join(directory, str(version))
        if not _is_approved(store, versions, directory, version):
            _check(versions, version)
            pushed = _pushed(store, version)
            facts: dict[str, int | str | None] = {"directory": directory, "version": version, "reason": reason}
            with recorded(store, EXECUTION_TYPE, facts, pushed):
                versions.approve(version)
        _mark_pushed(store, _pushed(store, version), published_at, version)
        open_lists(root.place_of(root.lists.name), storage).point(version)
        for folder in list(_note(root, published_at, version, reason)):
            rewrite(folder, write_report)
    return published_at


def _check(versions: Versions, version: int) -> None:
    """Refuses what must not be published.

    Raises:
      RollbackError: the version does not wait, a newer one is served, or its files are damaged.
    """
    directory, waiting, published = versions.directory, versions.awaiting(), versions.published()
    if version not in waiting:
        others = f"Those that do: {', '.join(map(str, waiting))}" if waiting else "None does"
        raise RollbackError(f"{directory}: version {version} does not await approval. {others}")
    if published and published[-1] > version:
        raise RollbackError(
            f"{directory}: version {published[-1]} is newer than {version} and served. Run again for a new version"
        )
    if wrong := versions.damage_of_awaiting(version):
        raise RollbackError(f"{directory}: version {version} is damaged: {wrong}. Run again for a new version")


def _is_approved(store: mlmd.MetadataStore, versions: Versions, directory: str, version: int) -> bool:
    """Returns whether the newest version is one that an earlier command has approved."""
    try:
        approvals = store.get_executions_by_type(EXECUTION_TYPE)
    except mlmd.errors.NotFoundError:
        return False
    values = [execution.custom_properties for execution in approvals]
    begun = {(value["directory"].string_value, value["version"].int_value) for value in values}
    return (directory, version) in begun and versions.published()[-1:] == [version]


def _pushed(store: mlmd.MetadataStore, version: int) -> list[metadata_store_pb2.Artifact]:
    """Returns the pushed model with a version that awaits approval, or did."""
    return [
        artifact
        for artifact in store.get_artifacts_by_type(PUSHED_MODEL)
        if artifact.custom_properties[AWAITING_PROPERTY].int_value == version
    ][-1:]


def _mark_pushed(
    store: mlmd.MetadataStore, pushed: list[metadata_store_pb2.Artifact], destination: str, version: int
) -> None:
    """Sets what TFX's Pusher sets, so that lineage and rollback find the version."""
    for artifact in pushed:
        artifact.custom_properties[PUSHED_PROPERTY].int_value = 1
        artifact.custom_properties[DESTINATION_PROPERTY].string_value = destination
        artifact.custom_properties["pushed_version"].string_value = str(version)
    store.put_artifacts(pushed)


def _note(root: Root, published_at: str, version: int, reason: str) -> Iterator[RunFolder]:
    """Updates the records of the runs that made the version, and yields their folders."""
    for run in runs_of(root):
        if run.summary is not None and run.summary.get("awaiting") == version:
            summary: dict[str, Any] = {name: value for name, value in run.summary.items() if name != "awaiting"}
            published = root.name_of(published_at)
            summary |= {"status": "published", "published": published, "approved": {"reason": reason}}
            _replace(run.folder.summary, json.dumps(summary, indent=2))
            yield run.folder


def _replace(path: Path, text: str) -> None:
    staged = path.with_name(f".{path.name}.{os.getpid()}")
    staged.write_text(text, encoding="utf-8")
    os.replace(staged, path)
