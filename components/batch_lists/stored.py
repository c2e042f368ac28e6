"""The lists of a root in an object store: ROOT/lists, as in a directory, but without renames.

`lists.json` makes the lists of a version: it is written last and deleted first. `current` is an object with the number
of the served version.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from components.batch_lists.folder import CURRENT, MANIFEST, ListsFolder, Manifest, digests_of, parse_manifest
from kindred.digests import first_difference
from storage.settings import StorageSettings
from storage.store import Store, in_parallel
from storage.urls import is_object


class StoredLists:
    """The lists of all versions below a URL. Has the methods of `ListsFolder`.

    All raise `StoreError` and `StoreUnavailable` if the store refuses a request, cannot be reached, or fails.

    Args:
      url: ROOT/lists. It need not exist.
      storage: how the store is reached.
    """

    def __init__(self, url: str, storage: StorageSettings | None = None) -> None:
        self._store = Store(url, storage)

    def reuse(self, version: int, key: str, target: Path) -> bool:
        """Downloads the lists of a version if they were made of the same. Returns whether they are whole."""
        manifest = self._manifest(version)
        if manifest is None or manifest.key != key:
            return False
        entries = [entry for entry in self._store.objects(str(version)) if not entry.name.endswith("/")]
        staged = target.with_name(f".{target.name}.part")
        try:
            in_parallel(lambda entry: self._store.download(entry, str(staged / entry.name.partition("/")[2])), entries)
            if first_difference(digests_of(staged), manifest.files):
                return False
            shutil.copytree(staged, target, dirs_exist_ok=True)
            return True
        finally:
            shutil.rmtree(staged, ignore_errors=True)

    def publish(self, version: int, lists: Path) -> None:
        """Uploads the lists of a version, reads them back, then marks them as whole. Replaces those of the version."""
        self._remove(version)
        names = [file.relative_to(lists).as_posix() for file in lists.rglob("*") if file.is_file()]
        names.remove(MANIFEST)
        in_parallel(lambda name: self._store.upload(str(lists / name), f"{version}/{name}"), names)
        self._store.upload(str(lists / MANIFEST), f"{version}/{MANIFEST}")

    def point(self, version: int) -> None:
        """Lets `current` name the lists of the served version, or deletes it if the version has none."""
        if self._manifest(version) is None:
            self._store.delete(CURRENT)
        else:
            self._store.write(CURRENT, f"{version}\n".encode())

    def versions(self) -> list[int]:
        """Returns the versions with lists, oldest first. Ignores folders of others."""
        numbers = sorted(int(name) for name in self._store.folders() if name.isdecimal())
        return [number for number in numbers if self._manifest(number) is not None]

    def retire(self, keep: int) -> None:
        """Removes all but the `keep` newest lists."""
        for version in self.versions()[:-keep]:
            self._remove(version)

    def _manifest(self, version: int) -> Manifest | None:
        try:
            return parse_manifest(self._store.read(f"{version}/{MANIFEST}"))
        except FileNotFoundError:
            return None

    def _remove(self, version: int) -> None:
        self._store.delete(f"{version}/{MANIFEST}")
        self._store.delete_folder(str(version))


def open_lists(place: str, storage: StorageSettings | None = None) -> ListsFolder | StoredLists:
    """Returns the lists of all versions in ROOT/lists, a path or a URL."""
    return StoredLists(place, storage) if is_object(place) else ListsFolder(Path(place))
