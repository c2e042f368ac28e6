"""Exchanges a working copy with the store: the newest state comes here, and what a command changed goes there.

The order makes each failure harmless. Artifacts and records are uploaded first, and the state that names them last.
What it does not need any more is deleted afterwards.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

from errors import RootError
from kindred.digests import first_difference
from pipeline.records.metadata_backup import is_sound
from pipeline.records.stored.artifacts import StoredArtifacts
from pipeline.records.stored.database import copy_database, live_artifacts
from pipeline.records.stored.lease import Lease
from pipeline.records.stored.record_files import changed_files, download_records, is_of_task
from pipeline.records.stored.states import State, States
from pipeline.records.stored.working_copy import (
    REMOVED,
    Base,
    Identity,
    read_base,
    read_next,
    stamp_of,
    write_base,
    write_next,
)
from storage.store import Store, in_parallel

_METADATA = "metadata.sqlite"
_BASE_METADATA = ".base.sqlite"
_ARTIFACTS = "pipeline"


class Session:
    """The exchange of one working copy with its store.

    Args:
      folder: the working copy. The caller has locked it on this machine.
      identity: which root it is the copy of.
    """

    def __init__(self, folder: Path, identity: Identity) -> None:
        self._folder, self.url = folder, identity.url
        self._store = Store(identity.url, identity.storage)
        self._states = States(self._store)
        self._lease = Lease(self._store, identity.owner)
        self._artifacts = StoredArtifacts(self._store, folder)
        self.finding: str | None = None
        """What was wrong with the working copy, and how it was repaired, or None."""

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Holds the lease of the root inside the block, after the newest state has been fetched.

        Raises:
          RootError: another machine changes the root.
          StoreError, StoreUnavailable: the store refuses a request, cannot be reached, or fails.
        """
        with self._lease.held():
            self.fetch()
            base = read_base(self._folder)
            if not base.generation and any(is_of_task(name) for name in base.files):
                raise RootError(
                    f"--root {self.url}: has runs of Kubeflow, whose ML Metadata is a service. Artifacts of both would "
                    "have the same names. Set another --root"
                )
            yield

    def check(self) -> None:
        """Reads which states the root has.

        Raises:
          StoreError, StoreUnavailable: the store refuses a request, cannot be reached, or fails.
        """
        self._states.newest()

    def fetch(self) -> None:
        """Makes the working copy continue the newest state: its database, and the records of all runs.

        A damaged database is fetched again. Artifacts come when they are needed (`fetch_artifact`), and reports too
        (`fetch_files`). Work of an interrupted run, which another machine has overtaken, does not count any more.

        Raises:
          RootError: the store has lost the state that this working copy continues.
          StoreError, StoreUnavailable: the store refuses a request, cannot be reached, or fails.
        """
        base, newest = read_base(self._folder), self._states.newest()
        if newest is None:
            if base.generation:
                raise self._lost(base)
            if not (self._folder / _METADATA).exists():
                # Tasks on Kubeflow store records, but no state.
                write_base(self._folder, Base(files=download_records(self._store, self._folder, base.files)))
            return
        database = self._folder / _METADATA
        if newest.token == base.token and is_sound(database):
            return
        if newest.token == base.token:
            # Its local copy may be older than the state, and executions would use the numbers of later ones again.
            self.finding = f"{database} was missing or damaged. The state in {self.url} replaces it"
        if newest.generation < base.generation:
            raise self._lost(base)
        announced = read_next(self._folder)
        if announced.token == newest.token and self.finding is None:
            self._adopt(announced)
            return
        self._download_database(newest)
        files = download_records(self._store, self._folder, base.files)
        metadata = stamp_of(self._folder / _METADATA)
        write_base(self._folder, Base(newest.generation, newest.token, metadata, files))

    def fetch_artifact(self, uri: str) -> None:
        """Downloads the files of an artifact whose folder here is missing or damaged, if the store has them."""
        self._artifacts.fetch(uri)

    def fetch_files(self, folder: Path) -> None:
        """Downloads the files of a run that only the store has: its report and its log."""
        base = read_base(self._folder)
        absent = [name for name, stamp in base.files.items() if stamp is None and name.startswith(self._name(folder))]
        for name in absent:
            if entry := self._store.find(name):
                self._store.download(entry, str(self._folder / name))
                base.files[name] = stamp_of(self._folder / name)
        if absent:
            write_base(self._folder, base)

    def forget(self, files: Iterable[Path]) -> None:
        """Lets the next commit delete reports or logs in the store that were deleted here."""
        base = read_base(self._folder)
        base.files |= {self._name(file): REMOVED for file in files}
        write_base(self._folder, base)

    def damage_of(self, uri: str, digests: str) -> str | None:
        """Returns the URL of the first file of an artifact in the store that differs from its digests. Reads all."""
        name = self._name(Path(uri))
        names = [entry.name for entry in self._store.objects(name) if not entry.name.endswith("/")]
        found = {file.removeprefix(f"{name}/"): self._store.digest(file) for file in names}
        wrong = first_difference(found, json.loads(digests)) if digests else None
        return f"{self.url}/{name}/{wrong}" if wrong else None

    def commit(self) -> bool:
        """Makes what the working copy has the newest state of the root.

        Returns:
          Whether anything had changed.

        Raises:
          RootError: another machine has changed the root meanwhile.
          StoreError, StoreUnavailable: the store refuses a request, cannot be reached, or fails.
          OSError: a file of an artifact changed since it was made, or cannot be read.
        """
        base = read_base(self._folder)
        files = changed_files(self._folder, base)
        removed = [name for name, stamp in base.files.items() if stamp == REMOVED]
        metadata = stamp_of(self._folder / _METADATA)
        if metadata is None or (not files and not removed and metadata == base.metadata):
            return False
        before = live_artifacts(self._folder / _BASE_METADATA, str(self._folder))
        now = live_artifacts(self._folder / _METADATA, str(self._folder))
        self._artifacts.upload({name: digests for name, digests in now.items() if before.get(name) != digests})
        in_parallel(lambda name: self._store.send(str(self._folder / name), name), files)
        self._commit_database(Base(base.generation, base.token, None, {**base.files, **files}))
        self._states.remove_old()
        gone = [name for name in before if name not in now]
        in_parallel(self._store.delete_folder, gone)
        in_parallel(self._store.delete, removed)
        return True

    def _commit_database(self, base: Base) -> None:
        database, staged = self._folder / _METADATA, self._folder / f".{_METADATA}.upload"
        base.metadata = stamp_of(database)
        copy_database(database, staged, str(self._folder), self.url)
        if not self._lease.is_held():
            raise RootError(f"--root {self.url}: another machine has taken over the root, because this one was away")
        base.files = {name: stamp for name, stamp in base.files.items() if stamp != REMOVED}

        def announce(state: State) -> None:
            write_next(self._folder, Base(state.generation, state.token, base.metadata, base.files))

        try:
            self._states.commit(base.generation, staged, announce)
        finally:
            staged.unlink(missing_ok=True)
        self._adopt(read_next(self._folder))

    def _adopt(self, base: Base) -> None:
        """Makes an announced state, which exists, the base."""
        copy_database(self._folder / _METADATA, self._folder / _BASE_METADATA)
        write_base(self._folder, base)

    def _download_database(self, state: State) -> None:
        staged, database = self._folder / f".{_METADATA}.download", self._folder / _METADATA
        self._states.download(state, staged)
        local = staged.with_suffix(".local")
        copy_database(staged, local, self.url, str(self._folder))
        staged.unlink()
        self._match_folders(live_artifacts(local, str(self._folder)))
        for suffix in ("-wal", "-shm", "-journal", ".backup"):
            database.with_name(database.name + suffix).unlink(missing_ok=True)
        shutil.copyfile(local, self._folder / _BASE_METADATA)
        os.replace(local, database)

    def _match_folders(self, live: dict[str, str]) -> None:
        """Makes an empty folder for each artifact that is not here, and removes those of executions that do not count.

        TFX's cache finds only artifacts with a folder. Files of an interrupted run must not mix with those of a later
        execution with the same number.
        """
        for folder in (self._folder / _ARTIFACTS).glob("*/*/*"):
            if folder.name.isdecimal() and self._name(folder) not in live:
                shutil.rmtree(folder, ignore_errors=True)
        for name in live:
            (self._folder / name).mkdir(parents=True, exist_ok=True)

    def _lost(self, base: Base) -> RootError:
        return RootError(
            f"--root {self.url}: has no state {base.generation}, which this machine has seen there. Either the root "
            "was deleted, or the URL and the endpoint lead to another store. Correct them, or delete "
            f"{self._folder} to start with an empty root"
        )

    def _name(self, path: Path) -> str:
        return path.relative_to(self._folder).as_posix()
