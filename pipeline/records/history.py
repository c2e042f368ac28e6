"""What a root contains: its runs, and the versions that they published."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import os
from collections.abc import Mapping
from typing import Any, Literal, TypeVar

from components.pusher.destination import open_versions
from components.pusher.withdrawals import withdrawals
from pipeline.records.metadata_backup import is_sound
from pipeline.records.progress import has_ended, headline
from pipeline.records.root import Root
from pipeline.records.run_folder import RunFolder
from sections import Section
from storage.settings import StorageSettings
from storage.trust import trust

S = TypeVar("S", bound=Section)

_REMEMBERED = 4096
"""Records in memory at a time."""


@dataclasses.dataclass(frozen=True)
class Run:
    """A run of a root.

    Attributes:
      folder: its folder.
      summary: its record, or None if that cannot be read.
      state: its status, or its progress if it has not ended.
    """

    folder: RunFolder
    summary: dict[str, Any] | None
    state: str

    def to_json(self) -> dict[str, Any]:
        """Returns the facts that `kindred runs --json` prints."""
        summary = self.summary or {}
        names = ("pipeline", "started", "seconds", "data", "metrics", "published", "error")
        return {"run_id": self.folder.path.name, "state": self.state, **{n: summary[n] for n in names if n in summary}}


@dataclasses.dataclass(frozen=True)
class Version:
    """A version in the directory of a root.

    Attributes:
      number: its number.
      state: whether a server serves it, could serve it, cannot because its files are damaged, or must not (yet).
      run_id: the run that published it, or None if no record names it.
      note: the damaged file, or the reason of the withdrawal. Empty if there is none.
    """

    number: int
    state: Literal["served", "published", "damaged", "withdrawn", "awaiting approval"]
    run_id: str | None
    note: str = ""


def metrics_of(summary: Mapping[str, Any]) -> dict[str, float]:
    """Returns the metrics of a record without baselines. Those of blessing rules come first."""
    metrics = {name: value for name, value in summary.get("metrics", {}).items() if not name.startswith("baseline_")}
    judged = [str(entry["rule"]).split(maxsplit=1)[0] for entry in summary.get("blessing", ())]
    return {name: metrics[name] for name in dict.fromkeys([*judged, *metrics]) if name in metrics}


def runs_of(root: Root, newest: int | None = None) -> list[Run]:
    """Returns the runs of a root, oldest first, or only the newest ones."""
    folders = _folders(root)
    return [_run(folder) for folder in (folders if newest is None else folders[-newest:])]


def _folders(root: Root) -> list[RunFolder]:
    return [RunFolder(path) for path in sorted(root.runs.glob("*")) if path.is_dir()]


def destination_of(root: Root) -> str:
    """Returns the directory or the URL of the versions: that of the newest run, or the default.

    A run without components does not count. Its destination may be the reason why it was refused.
    """
    for run in map(_run, reversed(_folders(root))):
        if run.summary is not None and run.summary.get("components"):
            to = str(run.summary.get("config", {}).get("publish", {}).get("to", "serving"))
            return root.place_of(to)
    return root.place_of("serving")


def storage_of(root: Root) -> StorageSettings:
    """Returns how the newest run reached object stores.

    Raises:
      StoreError: its `storage.ca_file` cannot be used.
    """
    found = _storage_of(root)
    trust(found.ca_file)
    return found


def _storage_of(root: Root) -> StorageSettings:
    if identity := root.identity:
        return identity.storage
    return section_of(root, "storage", StorageSettings)


def section_of(root: Root, name: str, kind: type[S]) -> S:
    """Returns a section of the pipeline file of the newest run with a readable one, or the defaults."""
    for run in map(_run, reversed(_folders(root))):
        with contextlib.suppress(ValueError, KeyError, TypeError):
            return kind.model_validate((run.summary or {})["config"][name])
    return kind()


def versions_of(root: Root, directory: str, check_files: bool = True) -> list[Version]:
    """Returns the versions in a directory, oldest first.

    The served version is the newest one without damage, as a server chooses it.

    Args:
      root: the root.
      directory: the directory or URL of versions.
      check_files: whether to read every file of published versions. Otherwise none counts as damaged.
    """
    versions = open_versions(directory, storage=storage_of(root))
    makers = _makers(root, directory)
    checked = versions.published() if check_files else []
    damaged = {number: file for number in checked if (file := versions.damage(number))}
    whole = [number for number in versions.published() if number not in damaged]
    reasons = _reasons(root, directory) if versions.withdrawn() else {}
    rows = [Version(number, "served" if number == whole[-1] else "published", makers.get(number)) for number in whole]
    rows += [Version(number, "damaged", makers.get(number), file) for number, file in damaged.items()]
    rows += [Version(n, "withdrawn", makers.get(n), reasons.get(n, "")) for n in versions.withdrawn()]
    rows += [Version(n, "awaiting approval", makers.get(n)) for n in versions.awaiting()]
    return sorted(rows, key=lambda version: version.number)


def versions_by_run(root: Root, directory: str) -> dict[str, int]:
    """Returns the published and withdrawn versions in a directory by the run that made each."""
    versions = open_versions(directory, storage=storage_of(root))
    present = {*versions.published(), *versions.withdrawn(), *versions.awaiting()}
    return {run_id: number for number, run_id in _makers(root, directory).items() if number in present}


def _run(folder: RunFolder) -> Run:
    try:
        about = folder.summary.stat()
        summary = _summary(folder, (about.st_ino, about.st_mtime_ns, about.st_size))
        state = summary["status"].replace("_", " ") if has_ended(summary) else headline(folder).split(": ", 1)[1]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return Run(folder, None, "no readable record")
    return Run(folder, summary, state)


@functools.lru_cache(maxsize=_REMEMBERED)
def _summary(folder: RunFolder, version: tuple[int, ...]) -> dict[str, Any]:
    """Returns a record, which nobody must change. A run asks for those of all earlier runs several times."""
    return folder.read_summary()


def _makers(root: Root, directory: str) -> dict[int, str]:
    """Returns the run that published each version, by number. The last one, if a number was used again."""
    makers = {}
    for run in runs_of(root):
        waiting = (run.summary or {}).get("awaiting")
        published = (run.summary or {}).get("published") or (f"{directory}/{waiting}" if waiting else None)
        if not published:
            continue
        place = root.place_of(published)
        folder, _, number = place.rpartition("/")
        if os.path.normpath(folder) == os.path.normpath(directory) and number.isdecimal():
            makers[int(number)] = run.folder.path.name
    return makers


def _reasons(root: Root, directory: str) -> dict[int, str]:
    """Returns when and why each withdrawn version was withdrawn, by number, from ML Metadata."""
    if not is_sound(root.metadata):
        return {}
    from pipeline.records.store import open_store

    found = withdrawals(open_store(root.metadata)).items()
    places = ((place.rpartition("/"), reason) for place, reason in found)
    return {int(number): reason for (folder, _, number), reason in places if folder == directory}
