"""Publishes a version that awaits approval, and records who decided what in ML Metadata and in the run's record."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ml_metadata.proto import metadata_store_pb2

from components.batch_lists.folder import ListsFolder
from components.pusher.destination import open_versions
from components.pusher.executor import AWAITING_PROPERTY, PUSHED_PROPERTY
from components.pusher.withdrawals import DESTINATION_PROPERTY, PUSHED_MODEL
from errors import RollbackError
from pipeline.records.history import destination_of, runs_of
from pipeline.records.metadata_backup import is_sound, restore_if_damaged
from pipeline.records.root import Root
from pipeline.records.run_folder import RunFolder
from pipeline.records.store import open_store, recorded

EXECUTION_TYPE = "kindred.Approval"


def approve(root: Root, version: int, reason: str, write_report: Callable[[RunFolder], object]) -> str:
    """Publishes the waiting version `version`, after its files are compared with its manifest.

    The approval is stored before the version appears, so that nothing is published without a record.

    Args:
      root: the root.
      version: the number of the version.
      reason: why, for the record.
      write_report: writes the report of a run.

    Returns:
      The directory of the published version.

    Raises:
      RollbackError: there is no such version, a newer one is served, or its files are damaged.
      RootError: a run is using the root, or its database is damaged.
    """
    directory = destination_of(root)
    versions, published_at = open_versions(directory), os.path.join(directory, str(version))
    with root.locked():
        waiting, published = versions.awaiting(), versions.published()
        if version not in waiting:
            others = f"Those that do: {', '.join(map(str, waiting))}" if waiting else "None does"
            raise RollbackError(f"{directory}: version {version} does not await approval. {others}")
        if published and published[-1] > version:
            raise RollbackError(
                f"{directory}: version {published[-1]} is newer than {version} and served. Run again for a new version"
            )
        if wrong := versions.damage_of_awaiting(version):
            raise RollbackError(f"{directory}: version {version} is damaged: {wrong}. Run again for a new version")
        restore_if_damaged(root.metadata, root.artifacts)
        if not is_sound(root.metadata):
            raise RollbackError(f"--root {root}: its database {root.metadata.name} is empty. Run again")
        store = open_store(root.metadata)
        pushed = [
            artifact
            for artifact in store.get_artifacts_by_type(PUSHED_MODEL)
            if artifact.custom_properties[AWAITING_PROPERTY].int_value == version
        ][-1:]
        facts: dict[str, int | str | None] = {"directory": directory, "version": version, "reason": reason}
        with recorded(store, EXECUTION_TYPE, facts, pushed):
            versions.approve(version)
            _mark_pushed(pushed, published_at, version)
            store.put_artifacts(pushed)
        ListsFolder(root.lists).point(version)
        for folder in _note(root, directory, version, reason):
            write_report(folder)
    return published_at


def _mark_pushed(pushed: list[metadata_store_pb2.Artifact], destination: str, version: int) -> None:
    """Sets what TFX's Pusher sets, so that lineage and rollback find the version."""
    for artifact in pushed:
        artifact.custom_properties[PUSHED_PROPERTY].int_value = 1
        artifact.custom_properties[DESTINATION_PROPERTY].string_value = destination
        artifact.custom_properties["pushed_version"].string_value = str(version)


def _note(root: Root, directory: str, version: int, reason: str) -> Iterator[RunFolder]:
    """Updates the records of the runs that made the version, and yields their folders."""
    for run in runs_of(root):
        if run.summary is not None and run.summary.get("awaiting") == version:
            summary: dict[str, Any] = {name: value for name, value in run.summary.items() if name != "awaiting"}
            published = os.path.relpath(os.path.join(directory, str(version)), root.path)
            summary |= {"status": "published", "published": published, "approved": {"reason": reason}}
            _replace(run.folder.summary, json.dumps(summary, indent=2))
            yield run.folder


def _replace(path: Path, text: str) -> None:
    staged = path.with_name(f".{path.name}.{os.getpid()}")
    staged.write_text(text, encoding="utf-8")
    os.replace(staged, path)
