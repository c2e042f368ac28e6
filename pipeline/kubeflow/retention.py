"""Removes what no run on a cluster needs any more, as section `keep` says. The exit task of a run calls it.

Other runs of the root may be in progress, and no lock spans their pods. Each node notes in the record of its run that
it begins, before it reads ML Metadata. So artifacts are first marked as deleted, and then the records are read again. A
run that began before the marks is found, and the marks are taken back. A later run finds no marked artifact.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipeline.config.sections.keep import Keep
from pipeline.kubeflow.stored_root import Listed, StoredRoot
from pipeline.records.history import Run, runs_of
from pipeline.records.root import Root
from pipeline.running.pruning import (
    Kept,
    Pruned,
    artifacts_of,
    mark,
    needed_executions,
    needed_runs,
    nodes_of,
    pages_of,
    started,
)

_LOST_SECONDS = 7 * 24 * 3600
"""A run whose record did not change for so long has ended without its exit task."""
_SYSTEM = ".system"
_KINDS = ("executor_execution", "driver_execution", "stateful_working_dir")


class Busy(Exception):
    """Another run is in progress."""


def prune(root: Root, keep: Keep, store: Any) -> Pruned:
    """Removes artifacts and reports of old runs. Records, executions in ML Metadata and published versions stay.

    The rules are those of local runs (`pipeline.running.pruning`).

    Args:
      root: the root of the tasks, a directory or the working copy of a URL.
      keep: which runs to keep.
      store: ML Metadata.

    Raises:
      Busy: another run of the root is in progress. Nothing was removed.
      StoreError, StoreUnavailable: the object store refuses a request, cannot be reached, or fails.
    """
    stored = StoredRoot.of(root)
    runs, files = _ended_runs(root, stored)
    needed = needed_runs(root, runs, Kept(keep.runs, keep.days))
    unneeded, used = artifacts_of(store, root, needed_executions(store, needed))
    mark(store, unneeded, deleted=True)
    try:
        _ended_runs(root, stored)
    except BaseException:
        mark(store, unneeded, deleted=False)
        raise
    artifacts = _listed(root.artifacts, stored)
    folders = set(_unneeded_folders(root, artifacts, used, nodes_of(store)))
    pages = [page for page in pages_of(runs, needed, set(files)) if page in files]
    removed = Pruned({"artifacts": len(folders), "old reports and logs": len(pages)})
    removed.size = sum(files[page].size for page in pages)
    removed.size += sum(about.size for file, about in artifacts.items() if not folders.isdisjoint(file.parents))
    _remove(stored, folders, pages)
    return removed


def _ended_runs(root: Root, stored: StoredRoot | None) -> tuple[list[Run], dict[Path, Listed]]:
    """Returns the runs of a root, oldest first, and the files of all.

    Raises:
      Busy: a run is in progress.
    """
    files = _listed(root.runs, stored)
    if stored:
        stored.fetch_listed({file: about for file, about in files.items() if file.name == "summary.json"})
    changed: dict[str, float] = {}
    for file, about in files.items():
        if file.parent == root.runs:
            continue  # metrics of all runs
        run_id = file.relative_to(root.runs).parts[0]
        changed[run_id] = max(changed.get(run_id, 0.0), about.changed)
    # Times of one file system or store, because clocks of pods differ.
    newest = max(changed.values(), default=0.0)
    runs = {run.folder.path.name: run for run in runs_of(root)}
    for run_id, seconds in changed.items():
        summary = runs[run_id].summary if run_id in runs else None
        if (summary is None or summary["status"] == "running") and seconds > newest - _LOST_SECONDS:
            raise Busy(f"run {run_id} is in progress")
    # The ids of Kubeflow have no order.
    return sorted((run for run in runs.values() if run.summary), key=started), files


def _listed(folder: Path, stored: StoredRoot | None) -> dict[Path, Listed]:
    """Returns the files below a folder of the root."""
    if stored:
        return stored.listed(folder)
    found = ((file, file.stat()) for file in folder.rglob("*") if file.is_file() and not file.name.startswith("."))
    return {file: Listed(status.st_size, status.st_mtime) for file, status in found}


def _unneeded_folders(root: Root, files: dict[Path, Listed], used: set[str], nodes: set[str]) -> Iterator[Path]:
    """Yields the folders of artifacts that are not used, and of what executors and drivers left beside them."""
    numbers = {Path(uri).name for uri in used}
    for file in files:
        # NODE/OUTPUT/EXECUTION/..., and NODE/.system/KIND/EXECUTION/...
        parts = file.relative_to(root.artifacts).parts
        depth = 4 if parts[1:2] == (_SYSTEM,) else 3
        if len(parts) <= depth or parts[0] not in nodes or (depth == 4 and parts[2] not in _KINDS):
            continue
        folder = root.artifacts.joinpath(*parts[:depth])
        if depth == 4:
            is_needed = parts[2] == _KINDS[0] and folder.name in numbers
        else:
            is_needed = not folder.name.isdecimal() or str(folder) in used
        if not is_needed and not folder.is_symlink():
            yield folder


def _remove(stored: StoredRoot | None, folders: set[Path], pages: list[Path]) -> None:
    if stored:
        stored.delete(folders, pages)
        return
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)
    for page in pages:
        page.unlink(missing_ok=True)
