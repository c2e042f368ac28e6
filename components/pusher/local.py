"""Versions in a local directory. Each appears and disappears with one rename."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
import uuid

from components.pusher.versions import Versions, awaiting_name
from kindred.manifest import CARD, Manifest, check_copy, damage, model_digests, read_manifest, write_manifest
from storage.disk import require, size_of

STAGING_PREFIX = ".staging-"
# A staging folder without writes for this long belongs to a publisher that was killed.
_STALE_SECONDS = 3600.0


class LocalVersions(Versions):
    """Versions in a local directory. A reader sees a version completely or not at all."""

    def publish(self, model: str, card: str | None = None, await_approval: bool = False) -> int:
        """Publishes a version as described in `Versions`. Compares the copy with the digests of `model` first.

        Raises:
            OSError: the copy differs from `model` or cannot be written. No version appears.
        DiskFull: the disk has no room for the copy.
        """
        if not os.path.isdir(self.directory):
            os.makedirs(self.directory, exist_ok=True)
            _make_readable(self.directory)
        self._sweep()
        require(self.directory, size_of(model), "the files of the model")
        staging = self._new_folder()
        try:
            digests = model_digests(model)
            _copy_files(model, staging)
            check_copy(staging, digests)
            write_manifest(staging, Manifest(digests, self._pipeline))
            if card:
                shutil.copyfile(card, os.path.join(staging, CARD))
            _make_readable(staging)
            return self._rename_to_next_version(staging, "{}" if not await_approval else awaiting_name("{}"))
        finally:
            shutil.rmtree(staging, ignore_errors=True)

    def _rename_to_next_version(self, staging: str, name: str) -> int:
        while True:
            version = max([*self.published(), *self.withdrawn(), *self.awaiting()], default=0) + 1
            try:
                # Renaming onto a non-empty directory fails. The slower publisher then takes the next number.
                os.rename(staging, self._path(name.format(version)))
            except OSError:
                if version not in (*self.published(), *self.awaiting()):
                    raise
            else:
                return version

    def _sweep(self) -> None:
        """Removes the staging folders of killed publishers."""
        for name in self._names():
            path = self._path(name)
            if name.startswith(STAGING_PREFIX) and time.time() - _last_written(path) > _STALE_SECONDS:
                shutil.rmtree(path, ignore_errors=True)

    def _new_folder(self) -> str:
        folder = self._path(f"{STAGING_PREFIX}{uuid.uuid4().hex}")
        os.mkdir(folder)
        return folder

    def _path(self, name: str) -> str:
        return os.path.join(self.directory, name)

    def _names(self) -> list[str]:
        return os.listdir(self.directory) if os.path.isdir(self.directory) else []

    def _is_whole(self, name: str) -> bool:
        return True

    def _manifest(self, name: str) -> Manifest | None:
        return read_manifest(self._path(name))

    def damage(self, version: int, thorough: bool = False) -> str | None:
        """Returns what `Versions.damage` does. Reads all files."""
        return damage(self._path(str(version)))

    def damage_of_awaiting(self, version: int) -> str | None:
        """Returns what `Versions.damage_of_awaiting` does. Reads all files."""
        return damage(self._path(awaiting_name(version)))

    def local(self, version: int) -> contextlib.AbstractContextManager[str]:
        """Returns what `Versions.local` does."""
        return contextlib.nullcontext(self._path(str(version)))

    def _move(self, name: str, target: str) -> None:
        os.rename(self._path(name), self._path(target))

    def _remove(self, name: str) -> None:
        retired = self._new_folder()
        with contextlib.suppress(FileNotFoundError):  # another publisher removed it first
            os.rename(self._path(name), os.path.join(retired, name))
        shutil.rmtree(retired, ignore_errors=True)


def _copy_files(source: str, target: str) -> None:
    """Copies all files below `source`, with the modes of the umask.

    TensorFlow creates directories with mode 755 and ignores the umask. Other users of the group could not remove them.
    """
    for folder, _, names in os.walk(source):
        copied = os.path.join(target, os.path.relpath(folder, source))
        os.makedirs(copied, exist_ok=True)
        for name in names:
            shutil.copyfile(os.path.join(folder, name), os.path.join(copied, name))


def _make_readable(directory: str) -> None:
    """Lets every user read what is in a directory, whatever the umask: a server often runs as another user."""
    for folder, _, names in os.walk(directory):
        os.chmod(folder, os.stat(folder).st_mode | 0o555)
        for name in names:
            path = os.path.join(folder, name)
            os.chmod(path, os.stat(path).st_mode | 0o444)


def _last_written(folder: str) -> float:
    """Returns the time of the last change in `folder`, or now if the folder is being removed."""
    with contextlib.suppress(OSError):
        return max((os.path.getmtime(path) for path, _, _ in os.walk(folder)), default=time.time())
    return time.time()
