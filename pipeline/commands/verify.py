"""`kindred verify`: checks the database, artifacts, versions and records of a root, and repairs what it can."""

from __future__ import annotations

import dataclasses
import itertools
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ml_metadata.proto import metadata_store_pb2

from components.pusher.destination import open_versions
from errors import ReportError, RootError
from pipeline.records.history import destination_of, storage_of
from pipeline.records.metadata_backup import is_sound, restore_if_damaged
from pipeline.records.progress import has_ended
from pipeline.records.root import Root
from pipeline.records.run_folder import RunFolder
from pipeline.records.store import open_store
from pipeline.records.stored.session import Session
from pipeline.running.artifact_digests import damage, digests_of
from storage.urls import is_object

_DAMAGED = ".damaged"
Damage = Callable[[metadata_store_pb2.Artifact], str | None]


@dataclasses.dataclass
class Finding:
    """Something that is wrong.

    Attributes:
      path: the file or the folder.
      problem: what is wrong with it.
      advice: what to do, or what the next run does about it.
      repaired: what was done. Empty if nothing was.
    """

    path: str
    problem: str
    advice: str
    repaired: str = ""

    def __str__(self) -> str:
        return f"{self.path}: {self.problem}. {self.repaired or self.advice}"


@dataclasses.dataclass
class Verdict:
    """The result of a check.

    Attributes:
      counts: how many things of each kind were checked.
      findings: what is wrong.
    """

    counts: dict[str, int]
    findings: list[Finding]

    @property
    def is_whole(self) -> bool:
        """Whether nothing is wrong, or everything has been repaired."""
        return all(finding.repaired for finding in self.findings)

    def to_text(self, as_json: bool) -> str:
        """Returns a line for each finding and a line with the counts, or JSON."""
        if as_json:
            found = [dataclasses.asdict(finding) for finding in self.findings]
            content = {"whole": self.is_whole, "checked": self.counts, "findings": found}
            return json.dumps(content, indent=2, ensure_ascii=False)
        counted = ", ".join(f"{count} {kind if count != 1 else kind[:-1]}" for kind, count in self.counts.items())
        wrong = sum(not finding.repaired for finding in self.findings)
        end = f"{wrong} damaged" if wrong else "all are whole" if not self.findings else "all are repaired"
        return "\n".join([*map(str, self.findings), f"{counted} checked: {end}"])


def verify(root: Root, repair: bool, write_report: Callable[[RunFolder], object]) -> Verdict:
    """Checks a root. No run may use it meanwhile.

    Args:
      root: the root.
      repair: whether to repair.
      write_report: writes the report of a run.

    Raises:
      ReportError: there is no root.
      RootError: a run is using the root.
    """
    if not (root.metadata.exists() or root.runs.is_dir() or root.artifacts.is_dir()):
        raise ReportError(f"--root {root}: it contains no run. Set --root to the root of a pipeline")
    verdict = Verdict({}, [])
    checks = {
        "databases": _database(root, repair),
        "artifacts": _artifacts(root, repair, _damage_in_store(root.session) if root.session else damage),
        "versions": _versions(root, repair),
        "records": _records(root, repair, write_report),
    }
    with root.locked():
        for kind, found in checks.items():
            results = list(found)
            verdict.counts[kind] = len(results)
            verdict.findings += [finding for finding in results if finding is not None]
    return verdict


def _damage_in_store(session: Session) -> Damage:
    """Returns a function that compares an artifact in the object store of a root with its digests."""
    return lambda artifact: session.damage_of(artifact.uri, digests_of(artifact))


def _database(root: Root, repair: bool) -> Iterator[Finding | None]:
    """Checks the database. A finding, or None, for each thing that was checked."""
    if is_sound(root.metadata) or not (root.metadata.exists() or root.artifacts.is_dir()):
        yield None
        return
    finding = Finding(str(root.metadata), "is no database of ML Metadata", "Give --repair to restore its last copy")
    if repair:
        try:
            finding.repaired = restore_if_damaged(root.metadata, root.artifacts) or ""
        except RootError as error:
            finding.advice = str(error)
    yield finding


def _artifacts(root: Root, repair: bool, damage_of: Damage) -> Iterator[Finding | None]:
    """Compares the files of all artifacts with their digests. A repair lets the next run make them again."""
    if not is_sound(root.metadata):
        return
    store = open_store(root.metadata)
    for artifact in store.get_artifacts():
        if artifact.state != metadata_store_pb2.Artifact.LIVE:
            continue
        path = damage_of(artifact)
        if path is None:
            yield None
            continue
        finding = Finding(path, "is missing or changed", "The next run makes it again")
        if repair:
            artifact.state = metadata_store_pb2.Artifact.DELETED
            store.put_artifacts([artifact])
            finding.repaired = "Its artifact counts as deleted, so that the next run makes it again"
        yield finding


def _versions(root: Root, repair: bool) -> Iterator[Finding | None]:
    """Compares the files of published versions with their manifests. A repair hides a damaged version from servers."""
    directory = destination_of(root)
    versions = open_versions(directory, storage=storage_of(root))
    for number in versions.published():
        wrong = versions.damage(number, thorough=True)
        if wrong is None:
            yield None
            continue
        place = os.path.join(directory, str(number))
        finding = Finding(
            os.path.join(place, wrong), "differs from the manifest", "The next run publishes a whole version"
        )
        if repair and not is_object(directory):
            hidden = _free(Path(directory, f"{_DAMAGED}-{number}"))
            os.rename(place, hidden)
            finding.repaired = f"The version is now {hidden}, which servers ignore"
        yield finding


def _records(root: Root, repair: bool, write_report: Callable[[RunFolder], object]) -> Iterator[Finding | None]:
    """Reads the record of each run. A repair renames an unreadable one and writes missing reports."""
    for path in sorted(root.runs.glob("*")):
        folder = RunFolder(path)
        if not path.is_dir() or not folder.summary.exists():
            continue
        summary = _read(folder)
        if summary is None:
            yield _unreadable(folder, repair)
        elif has_ended(summary) and folder.log.is_file() and not folder.report.is_file():  # else it was pruned
            finding = Finding(str(folder.report), "is missing", "Give --repair to write it")
            if repair:
                try:
                    write_report(folder)
                    finding.repaired = "It is written again"
                except Exception as error:
                    finding.advice = f"It cannot be written: {type(error).__name__}: {error}"
            yield finding
        else:
            yield None


def _read(folder: RunFolder) -> dict[str, Any] | None:
    try:
        summary = folder.read_summary()
        return summary if {"status", "components", "run_id"} <= summary.keys() else None
    except (OSError, ValueError, AttributeError):
        return None


def _unreadable(folder: RunFolder, repair: bool) -> Finding:
    finding = Finding(str(folder.summary), "is no record of a run", "Give --repair to rename it")
    if repair:
        aside = _free(folder.summary.with_name(folder.summary.name + _DAMAGED))
        folder.summary.rename(aside)
        finding.repaired = f"It is now {aside}"
    return finding


def _free(path: Path) -> Path:
    """Returns `path`, or a name like it that is free."""
    names = itertools.chain([path.name], (f"{path.name}-{number}" for number in itertools.count(2)))
    return next(free for name in names if not (free := path.with_name(name)).exists())
