"""Moves the files of artifacts between a working copy and its store."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from errors import StoreError
from kindred.digests import file_digests
from storage.store import Store, StoredObject, in_parallel


class StoredArtifacts:
    """The artifacts of a root. Each is a folder here, and objects with a common beginning of their names there.

    Args:
      store: the root in the store.
      folder: the working copy.
    """

    def __init__(self, store: Store, folder: Path) -> None:
        self._store, self._folder = store, folder

    def fetch(self, uri: str) -> None:
        """Replaces the folder of an artifact by the files that the store has. Changes nothing if it has none.

        Raises:
          StoreError, StoreUnavailable: the store refuses a request, cannot be reached, or fails.
        """
        folder = Path(uri)
        name = folder.relative_to(self._folder).as_posix()
        entries = self._files(name)
        if not entries:
            return
        staged = folder.with_name(f".{folder.name}.part")
        shutil.rmtree(staged, ignore_errors=True)
        in_parallel(
            lambda entry: self._store.download(entry, str(staged / entry.name.removeprefix(f"{name}/"))), entries
        )
        shutil.rmtree(folder, ignore_errors=True)
        os.replace(staged, folder)

    def upload(self, artifacts: Mapping[str, str]) -> None:
        """Uploads the files of artifacts, and compares their digests here and their sizes there.

        Other files there are deleted: a killed process can have left them.

        Args:
          artifacts: digests as JSON by name, which is the path below the working copy. No text: not known.

        Raises:
          StoreError: what the store has differs from the files.
          StoreError, StoreUnavailable: the store refuses a request, cannot be reached, or fails.
          OSError: a file cannot be read.
        """
        expected = {
            f"{name}/{file}": digest
            for name, digests in artifacts.items()
            for file, digest in (json.loads(digests) if digests else file_digests(str(self._folder / name))).items()
        }
        sent = in_parallel(lambda name: self._store.send(str(self._folder / name), name), expected)
        sizes = {entry.name: entry.size for entries in in_parallel(self._files, artifacts) for entry in entries}
        for (name, digest), uploaded in zip(expected.items(), sent, strict=True):
            file = self._folder / name
            if uploaded != digest or sizes.get(name) != file.stat().st_size:
                raise StoreError(f"{self._store.url}/{name} differs from {file}, which was uploaded. Run again")
        in_parallel(self._store.delete, sizes.keys() - expected.keys())

    def _files(self, name: str) -> list[StoredObject]:
        return [entry for entry in self._store.objects(name) if not entry.name.endswith("/")]
