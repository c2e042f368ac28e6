"""Versions in an object store, such as s3://bucket/models.

An object store has no rename: a folder is the common beginning of the keys of its objects. `saved_model.pb` makes a
version: TensorFlow Serving loads no folder without it, and no command counts one. It is written last and deleted first.

A version is uploaded below a name that is no number and verified there. Copies inside the store then take seconds, so
that servers rarely see the number before the version is complete. Publishers reserve a number with a claim, an object
that names the number and its owner.
"""

from __future__ import annotations

import contextlib
import os
import random
import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence

from components.pusher.versions import Versions, awaiting_name
from errors import ModelDamaged, StoreError, StoreUnavailable
from kindred.manifest import CARD, MANIFEST, Manifest, damage, model_digests, parse_manifest
from storage.settings import StorageSettings
from storage.store import Store, StoredObject, in_parallel

_GRAPH = "saved_model.pb"
_STAGING = ".staging-"
_CLAIM = ".claim-"
_STALE_NANOSECONDS = 24 * 3600 * 10**9


class RemoteVersions(Versions):
    """Versions below a URL. A folder without `saved_model.pb` is not a version.

    Args:
      directory: the URL.
      pipeline: name of the pipeline that publishes there, if any.
      storage: how the store is reached.
    """

    def __init__(self, directory: str, pipeline: str | None = None, storage: StorageSettings | None = None) -> None:
        super().__init__(directory.rstrip("/"), pipeline)
        self._store = Store(self.directory, storage)

    def publish(self, model: str, card: str | None = None, await_approval: bool = False) -> int:
        """Publishes a version as described in `Versions`, and copies the graph last.

        Raises:
          StoreError, StoreUnavailable: the version cannot be written. No version appears.
          OSError: the model changed meanwhile.
        """
        self._sweep()
        staging = f"{_STAGING}{uuid.uuid4().hex}"
        digests = model_digests(model)
        files = {name: os.path.join(model, name) for name in digests} | ({CARD: card} if card else {})
        try:
            uploaded = in_parallel(lambda name: self._store.upload(files[name], f"{staging}/{name}"), files)
            for name, digest in zip(files, uploaded, strict=True):
                if digests.get(name, digest) != digest:
                    raise OSError(f"{files[name]} changed while it was published. Run again")
            self._store.write(f"{staging}/{MANIFEST}", Manifest(digests, self._pipeline).to_json().encode())
            with self._claimed_number() as version:
                self._copy_folder(staging, awaiting_name(version) if await_approval else str(version))
        finally:
            with contextlib.suppress(StoreError, StoreUnavailable):
                self._remove(staging)
        return version

    def published(self) -> list[int]:
        """Returns the complete versions, oldest first."""
        numbers = [name for name in self._names() if name.isdecimal()]
        whole = in_parallel(self._is_whole, numbers)
        return sorted(int(name) for name, is_whole in zip(numbers, whole, strict=True) if is_whole)

    def withdrawn(self) -> list[int]:
        """Returns the withdrawn versions, oldest first. An interrupted withdrawal did not happen."""
        published = self.published()
        return [version for version in super().withdrawn() if version not in published]

    def awaiting(self) -> list[int]:
        """Returns the versions that await approval, oldest first. What an interrupted command left does not count."""
        waiting, published = super().awaiting(), self.published()
        return [version for version in waiting if version not in published and self._is_whole(awaiting_name(version))]

    def damage_of_awaiting(self, version: int) -> str | None:
        """Returns what `Versions.damage_of_awaiting` does."""
        return self._damage(awaiting_name(version), thorough=True)

    def damage(self, version: int, thorough: bool = False) -> str | None:
        """Returns the first file of a version that is missing in the store or differs from its manifest, or None.

        Reading all files would download the model. The graph is written last, so without `thorough`, only the graph and
        what changed after it is read.
        """
        return self._damage(str(version), thorough)

    def _damage(self, version: str, thorough: bool) -> str | None:
        manifest = self._manifest(version)
        if manifest is None:
            return None
        found = {entry.name.removeprefix(f"{version}/"): entry for entry in self._store.objects(version)}
        graph = found.get(_GRAPH)
        for name, digest in manifest.files.items():
            entry = found.get(name)
            if entry is None or graph is None:
                return name
            is_suspect = thorough or name == _GRAPH or entry.changed > graph.changed
            if is_suspect and self._store.digest(f"{version}/{name}") != digest:
                return name
        return None

    @contextlib.contextmanager
    def local(self, version: int) -> Iterator[str]:
        """Yields what `Versions.local` does. The copy exists in the block only.

        Raises:
          StoreError, StoreUnavailable: the store refuses a request, cannot be reached, or fails.
          ModelDamaged: a file differs from the manifest.
        """
        with tempfile.TemporaryDirectory(prefix="kindred-version-") as folder:
            entries = {entry.name.removeprefix(f"{version}/"): entry for entry in self._store.objects(str(version))}
            in_parallel(lambda name: self._store.download(entries[name], os.path.join(folder, name)), entries)
            if wrong := damage(folder):
                raise ModelDamaged(f"{self.directory}/{version}/{wrong} is missing or changed since it was published")
            yield folder

    @contextlib.contextmanager
    def _claimed_number(self) -> Iterator[int]:
        """Yields a number that no version has and no other publisher claims.

        A publisher lists the claims after it has written its own. Stores list what was written before, so of two
        publishers of a number at least one sees the other and gives up the number. If both do, the number is skipped.
        Its own claim stays in the block.
        """
        mine = uuid.uuid4().hex
        while True:
            number = max(self._taken(""), default=0) + 1
            claim = f"{_CLAIM}{number}-{mine}"
            self._store.write(claim, b"")
            try:
                if number not in self._taken(mine):
                    yield number
                    return
            finally:
                with contextlib.suppress(StoreError, StoreUnavailable):  # it blocks nobody, and is swept later
                    self._store.delete(claim)
            time.sleep(random.uniform(0.1, 0.5))

    def _taken(self, mine: str) -> set[int]:
        """Returns the numbers of all versions, complete or not, and those that others than `mine` claim."""
        names = self._names()
        claims = (name.split("-") for name in names if name.startswith(_CLAIM))
        claimed = {int(number) for _, number, owner in claims if owner != mine}
        return claimed | {int(name.rpartition("-")[2]) for name in names if _is_version(name)}

    def _sweep(self) -> None:
        """Removes what publishers left that were killed more than a day ago. Keeps complete versions."""
        for name in self._names():
            if name.startswith(_CLAIM) and _is_stale([self._store.find(name)]):
                self._store.delete(name)
            elif self._is_partial(name) and _is_stale(self._store.objects(name)):
                self._remove(name)

    def _is_partial(self, name: str) -> bool:
        """Returns whether a publication or an approval that did not end left a folder."""
        number = name.removeprefix(awaiting_name(""))
        if not number.isdecimal():
            return name.startswith(_STAGING)
        is_part = not self._is_whole(name) or (number != name and self._is_whole(number))
        return is_part and self._is_own(name)

    def _names(self) -> list[str]:
        return self._store.folders()

    def _is_whole(self, name: str) -> bool:
        return self._store.find(f"{name}/{_GRAPH}") is not None

    def _manifest(self, name: str) -> Manifest | None:
        try:
            return parse_manifest(self._store.read(f"{name}/{MANIFEST}").decode(errors="replace"))
        except FileNotFoundError:
            return None

    def _move(self, name: str, target: str) -> None:
        self._copy_folder(name, target)
        self._remove(name)

    def _copy_folder(self, name: str, target: str) -> None:
        """Copies all objects, the manifest first and the graph last, so that what has a graph is complete."""
        entries = {entry.name.removeprefix(f"{name}/"): entry for entry in self._store.objects(name)}
        if absent := {MANIFEST, _GRAPH} - entries.keys():
            raise StoreError(f"{self.directory}/{name}: the store does not list {min(absent)} there. Run again")

        def copy(file: str) -> None:
            self._store.copy(entries[file], f"{target}/{file}")

        copy(MANIFEST)
        in_parallel(copy, entries.keys() - {MANIFEST, _GRAPH})
        self._compare(target, {file: entry for file, entry in entries.items() if file != _GRAPH})
        copy(_GRAPH)

    def _compare(self, target: str, entries: dict[str, StoredObject]) -> None:
        sizes = {entry.name: entry.size for entry in self._store.objects(target)}
        for file, entry in entries.items():
            if sizes.get(f"{target}/{file}") != entry.size:
                raise StoreError(f"{self.directory}/{target}/{file} is not the copy that was written. Run again")

    def _remove(self, name: str) -> None:
        """Removes the graph first, so that an incomplete folder is not a version."""
        self._store.delete(f"{name}/{_GRAPH}")
        self._store.delete_folder(name)


def _is_stale(entries: Sequence[StoredObject | None]) -> bool:
    newest = max((entry.changed for entry in entries if entry), default=0)
    return time.time_ns() - newest > _STALE_NANOSECONDS


def _is_version(name: str) -> bool:
    return name.removeprefix(".withdrawn-").removeprefix(awaiting_name("")).isdecimal()
