"""Removes what no run, version or cache needs any more from a root: artifacts, logs and reports of old runs, leftovers.

Records (summary.json) stay. ML Metadata forgets the executions of removed runs, unless what they made is still needed.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import os
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from ml_metadata.proto import metadata_store_pb2

from components.batch_lists.folder import STAGING_PREFIX as LISTS_STAGING
from components.batch_lists.folder import ListsFolder
from components.pusher.destination import open_versions
from components.pusher.local import STAGING_PREFIX
from errors import ReportError
from pipeline.records import node_ids
from pipeline.records.history import Run, destination_of, runs_of, storage_of, versions_by_run
from pipeline.records.metadata_backup import back_up, is_sound, restore_if_damaged
from pipeline.records.metadata_rows import remove_executions
from pipeline.records.root import Root
from pipeline.records.store import open_store
from pipeline.running import temporary

_LIVE, _DELETED = metadata_store_pb2.Artifact.LIVE, metadata_store_pb2.Artifact.DELETED
_SUCCESSFUL = (metadata_store_pb2.Execution.COMPLETE, metadata_store_pb2.Execution.CACHED)
_OUTPUTS = (metadata_store_pb2.Event.OUTPUT, metadata_store_pb2.Event.PENDING_OUTPUT)
_COMPARED = 2
"""How many of the newest blessed models, and of the newest accepted data, the next run may compare with."""
_LEFTOVER_SECONDS = 24 * 3600
LEFTOVERS = (
    "kindred-new-",
    "kindred-workers-",
    "kindred-output-",
    "kindred-logs-",
    "kindred-canary-",
    "kindred-pairs-",
    "kindred-epochs-",
    "kindred-paths-",
    "kindred-version-",
)


# Files that a killed process was writing, before the rename that completes them.
_STAGED_FILES = (
    ".metadata.sqlite.*", ".index.html.*", "runs/.metrics.prom.*", "runs/*/summary.*.staged", "runs/*/report.*.staged",
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Kept:
    """Which runs to keep with all their artifacts, besides those that something else needs.

    Attributes:
      runs: the number of newest runs. None: no limit by number.
      days: the age in days up to which runs are kept. None: no limit by age.
    """

    runs: int | None = None
    days: int | None = None


@dataclasses.dataclass
class Pruned:
    """What was removed, or would be.

    Attributes:
      counts: the number of removed things of each kind.
      size: their bytes.
    """

    counts: dict[str, int]
    size: int = 0

    def __str__(self) -> str:
        counted = [f"{count:,} {kind if count != 1 else kind[:-1]}" for kind, count in self.counts.items() if count]
        return f"{', '.join(counted) or 'nothing'} ({_megabytes(self.size)})"


def prune(root: Root, kept: Kept, dry_run: bool = False) -> Pruned:
    """Removes what is not needed. The caller holds the lock of the root.

    Kept are the runs that `kept` names, those of published and withdrawn versions, and of these what the next run may
    read: the newest blessed models, the newest accepted data, and the last outputs of each node, which its cache finds.

    Args:
      root: the root.
      kept: the runs to keep.
      dry_run: whether to remove nothing, and only count.

    Raises:
      ReportError: the root contains no run.
      RootError: its database is damaged.
    """
    runs = runs_of(root)
    restore_if_damaged(root.metadata, root.artifacts)
    if not runs or not is_sound(root.metadata):
        raise ReportError(f"no run is recorded below {root}. Set --root to the root of a pipeline")
    needed = needed_runs(root, runs, kept)
    removed = Pruned({"artifacts": 0, "old reports and logs": 0, "old lists": 0, "leftovers": 0, "executions": 0})
    executions = needed_executions(open_store(root.metadata), needed)
    _remove(_artifacts(root, executions, dry_run), "artifacts", removed, dry_run)
    pages = list(pages_of(runs, needed, root.stored_files()))
    _remove(pages, "old reports and logs", removed, dry_run)
    if not dry_run and root.session:
        root.session.forget(pages)
    _remove(_lists(root), "old lists", removed, dry_run)
    _remove(_leftovers(root), "leftovers", removed, dry_run)
    _forget(root, executions, removed, dry_run)
    return removed


def needed_runs(root: Root, runs: list[Run], kept: Kept) -> set[str]:
    """Returns the ids of the runs to keep, of all `runs`, oldest first."""
    needed = {run.folder.path.name for run in _newest(runs, kept)}
    needed |= set(versions_by_run(root, destination_of(root)))
    for is_wanted in (_is_blessed, _has_accepted_data):
        needed |= {run.folder.path.name for run in [run for run in runs if is_wanted(run)][-_COMPARED:]}
    # A run without a readable record may still be running on another machine.
    return needed | {run.folder.path.name for run in runs[-1:]}


def _newest(runs: list[Run], kept: Kept) -> list[Run]:
    newest = runs if kept.runs is None else runs[-kept.runs :]
    if kept.days is None:
        return newest
    now = datetime.datetime.now(datetime.timezone.utc)
    return [run for run in newest if (now - started(run)).days < kept.days]


def started(run: Run) -> datetime.datetime:
    """Returns when a run began."""
    with contextlib.suppress(KeyError, ValueError, TypeError):
        return datetime.datetime.fromisoformat((run.summary or {})["started"])
    return datetime.datetime.fromtimestamp(run.folder.path.stat().st_mtime, datetime.timezone.utc)


def _is_blessed(run: Run) -> bool:
    return bool((run.summary or {}).get("blessed"))


def _has_accepted_data(run: Run) -> bool:
    components = (run.summary or {}).get("components", ())
    return any(c["id"] == node_ids.GATE and c["state"] in ("executed", "cached") for c in components)


def _artifacts(root: Root, executions: set[int], dry_run: bool) -> Iterator[Path]:
    """Yields the folders of artifacts that no needed execution has, after ML Metadata has marked them as deleted."""
    store = open_store(root.metadata)
    unneeded, used = artifacts_of(store, root, executions)
    if not dry_run:
        mark(store, unneeded, deleted=True)
    # Folders of artifacts, ROOT/pipeline/NODE/OUTPUT/EXECUTION, also of killed and of damaged executions. Not those of
    # others, such as PHOTOS/ALBUM/2015.
    nodes = nodes_of(store)
    for folder in root.artifacts.glob("*/*/*"):
        is_own = folder.parts[-3] in nodes and folder.name.isdecimal() and folder.is_dir() and not folder.is_symlink()
        if is_own and str(folder) not in used:
            yield folder
    # What an executor leaves beside its outputs: ROOT/pipeline/NODE/.system/executor_execution/EXECUTION.
    kept = {Path(uri).name for uri in used}
    for folder in root.artifacts.glob("*/.system/executor_execution/*"):
        if folder.name not in kept:
            yield folder


def nodes_of(store: Any) -> set[str]:
    """Returns the ids of the nodes that ML Metadata knows."""
    return {context.name.rpartition(".")[2] for context in store.get_contexts_by_type("node")}


def artifacts_of(store: Any, root: Root, executions: set[int]) -> tuple[list[metadata_store_pb2.Artifact], set[str]]:
    """Returns the live artifacts below a root that no execution of `executions` has, and the URIs of all others."""
    wanted = {event.artifact_id for event in store.get_events_by_execution_ids(sorted(executions))}
    live = [artifact for artifact in store.get_artifacts() if artifact.state != _DELETED]
    below = f"{root.artifacts}{os.sep}"
    unneeded = [a for a in live if a.state == _LIVE and a.id not in wanted and a.uri.startswith(below)]
    return unneeded, {artifact.uri for artifact in live} - {artifact.uri for artifact in unneeded}


def mark(store: Any, artifacts: list[metadata_store_pb2.Artifact], deleted: bool) -> None:
    """Marks artifacts as deleted, so that no cache and no resolver finds them, or as live again."""
    for artifact in artifacts:
        artifact.state = _DELETED if deleted else _LIVE
    if artifacts:
        store.put_artifacts(artifacts)


def needed_executions(store: Any, needed: set[str]) -> set[int]:
    """Returns the ids of the executions of needed runs, and of the last successful one of each node."""
    executions: set[int] = set()
    for context in store.get_contexts_by_type("pipeline_run"):
        if context.name in needed:
            executions |= {execution.id for execution in store.get_executions_by_context(context.id)}
    for context in store.get_contexts_by_type("node"):
        found = store.get_executions_by_context(context.id)
        good = [execution.id for execution in found if execution.last_known_state in _SUCCESSFUL]
        executions |= {max(good)} if good else set()
    return executions


def _forget(root: Root, executions: set[int], removed: Pruned, dry_run: bool) -> None:
    """Removes the executions of other runs from ML Metadata, except those that made what `executions` have.

    Later executions have the same artifact if they reuse it from the cache, or import the same file. They are not kept.
    """
    store = open_store(root.metadata)
    given = {
        event.artifact_id
        for event in store.get_events_by_execution_ids(sorted(executions))
        if event.type in _OUTPUTS  # reused from the cache. Base models and baselines are inputs only
    }
    makers: dict[int, int] = {}
    for event in store.get_events_by_artifact_ids(sorted(given)):
        if event.type in _OUTPUTS:
            makers[event.artifact_id] = min(event.execution_id, makers.get(event.artifact_id, event.execution_id))
    del store  # closes its connection, so that the file can shrink
    size = root.metadata.stat().st_size
    removed.counts["executions"] = remove_executions(root.metadata, executions | {*makers.values()}, dry_run)
    if removed.counts["executions"] and not dry_run:
        removed.size += size - root.metadata.stat().st_size
        back_up(root.metadata)


def pages_of(runs: list[Run], needed: set[str], stored: set[Path]) -> Iterator[Path]:
    """Yields the reports and logs of runs that are not needed, here or in the store of the root. Their records stay."""
    for run in runs:
        if run.folder.path.name not in needed:
            pages = (run.folder.report, run.folder.log, run.folder.reserve)
            yield from (path for path in pages if path.is_file() or path in stored)


def _lists(root: Root) -> Iterator[Path]:
    """Yields the lists of versions that are gone."""
    folder = ListsFolder(root.lists)
    if numbers := folder.versions():
        versions = open_versions(destination_of(root), storage=storage_of(root))
        present = {*versions.published(), *versions.withdrawn(), *versions.awaiting()}
        yield from (root.lists / str(number) for number in numbers if number not in present)


def _leftovers(root: Root) -> Iterator[Path]:
    """Yields temporary folders of killed runs, and after a day without writes, those of others and staged versions."""
    yield from temporary.abandoned()
    # Nothing reads what drivers and killed executors leave after their execution.
    for kind in ("driver_execution", "stateful_working_dir"):
        yield from root.artifacts.glob(f"*/.system/{kind}/*")
    directory = destination_of(root)
    staged = Path(directory).glob(f"{STAGING_PREFIX}*") if "://" not in directory else ()
    shared = Path(tempfile.gettempdir())
    for path in (
        *staged,
        *root.lists.glob(f"{LISTS_STAGING}*"),
        *(found for prefix in LEFTOVERS for found in shared.glob(f"{prefix}*")),
        *(found for pattern in _STAGED_FILES for found in root.path.glob(pattern)),
    ):
        with contextlib.suppress(OSError):
            is_own = path.lstat().st_uid == os.getuid() and not path.is_symlink()
            if is_own and time.time() - _last_written(path) > _LEFTOVER_SECONDS:
                yield path


def _last_written(path: Path) -> float:
    return max(map(os.path.getmtime, [str(path), *(place for place, _, _ in os.walk(path))]))


def _remove(paths: Iterable[Path], kind: str, removed: Pruned, dry_run: bool) -> None:
    for path in list(paths):
        removed.counts[kind] += 1
        removed.size += _size(path)
        if dry_run:
            continue
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def _size(path: Path) -> int:
    files = [path] if path.is_file() else [found for found in path.rglob("*") if found.is_file()]
    return sum(file.stat().st_size for file in files)


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"
