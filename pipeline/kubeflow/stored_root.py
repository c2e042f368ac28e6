"""A root in an object store, as a task on Kubeflow uses it. Its working copy ends with the pod.

A local run holds the whole root and stores a state of it at its end (`pipeline.records.stored.session`). Tasks of one
run are in many pods, and ML Metadata is a service. So each task stores what it made before others can find it there:
artifacts before their execution is complete (`pipeline.kubeflow.staging`), records as soon as they are written.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from pathlib import Path

from errors import RootError
from pipeline.records.root import Root
from pipeline.records.stored.artifacts import StoredArtifacts
from pipeline.records.stored.states import States
from storage.store import Store, StoredObject, in_parallel


@dataclasses.dataclass(frozen=True)
class Listed:
    """What a listing tells about a file: its size in bytes, and when it changed, in seconds since 1970."""

    size: int
    changed: float


class StoredRoot:
    """The store of one root.

    Args:
      folder: the working copy.
      store: the root in the store.
    """

    def __init__(self, folder: Path, store: Store) -> None:
        self.folder, self.url = folder, store.url
        self._store = store
        self._artifacts = StoredArtifacts(store, folder)
        self._fetched: dict[str, StoredObject] = {}
        self._listed: dict[Path, StoredObject] = {}

    @classmethod
    def of(cls, root: Root) -> StoredRoot | None:
        """Returns the store of `root`, or None for a directory. Sends no request."""
        identity = root.identity
        return cls(root.path, Store(identity.url, identity.storage)) if identity else None

    def check(self) -> None:
        """Refuses a root of local runs.

        Raises:
          RootError: it has the database of `kindred run`. Artifacts are numbered by their database.
          StoreError, StoreUnavailable: the store refuses a request, cannot be reached, or fails.
        """
        if States(self._store).newest() is not None:
            raise RootError(
                f"{self.url}: has runs of `kindred run`, whose ML Metadata is in the root. Their artifacts would have "
                "the same names as those of this run. Set the run parameter pipeline_root to another URL"
            )

    def fetch(self, below: Path) -> None:
        """Downloads a file, or all files of a folder, that changed in the store since the last call.

        Raises:
          StoreError, StoreUnavailable: the store refuses a request, cannot be reached, or fails.
        """
        name = self._name(below)
        entries = [entry for entry in self._store.objects(name) if not entry.name.endswith("/")]
        entries = entries or [entry for entry in [self._store.find(name)] if entry]
        self._download(entries)

    def listed(self, below: Path) -> dict[Path, Listed]:
        """Returns the files of a folder in the store, by their paths in the working copy."""
        entries = (entry for entry in self._store.objects(self._name(below)) if not entry.name.endswith("/"))
        self._listed = {self.folder / entry.name: entry for entry in entries}
        return {file: Listed(entry.size, entry.changed / 1e9) for file, entry in self._listed.items()}

    def fetch_listed(self, files: Iterable[Path]) -> None:
        """Downloads files of the last listing that changed in the store since the last call."""
        self._download([self._listed[file] for file in files])

    def delete(self, folders: Iterable[Path], files: Iterable[Path]) -> None:
        """Deletes folders and files in the store."""
        in_parallel(self._store.delete_folder, map(self._name, folders))
        in_parallel(self._store.delete, map(self._name, files))

    def _download(self, entries: list[StoredObject]) -> None:
        changed = [entry for entry in entries if self._fetched.get(entry.name) != entry]
        in_parallel(lambda entry: self._store.download(entry, str(self.folder / entry.name)), changed)
        self._fetched |= {entry.name: entry for entry in changed}

    def send(self, *files: Path) -> None:
        """Uploads files. Those that do not exist are left out.

        Raises:
          StoreError, StoreUnavailable: the store refuses a request, cannot be reached, or fails.
        """
        in_parallel(
            lambda file: self._store.send(str(file), self._name(file)), [file for file in files if file.is_file()]
        )

    def fetch_artifact(self, uri: str) -> None:
        """Replaces the folder of an artifact by the files that the store has. Changes nothing if it has none."""
        self._artifacts.fetch(uri)

    def store_artifacts(self, digests: Iterable[tuple[str, str]]) -> None:
        """Uploads artifacts: the URI of each, and its digests as JSON. See `StoredArtifacts.upload`."""
        self._artifacts.upload({self._name(Path(uri)): text for uri, text in digests})

    def _name(self, path: Path) -> str:
        return path.relative_to(self.folder).as_posix()
