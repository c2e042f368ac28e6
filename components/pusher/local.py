"""Versions in a directory of this machine: each appears, and disappears, by one rename."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
import uuid

from components.pusher.manifest import CARD, check_copy, file_digests, read_manifest, write_manifest
from components.pusher.versions import Versions

_STAGING_PREFIX = ".staging-"
# A staging folder in which nothing was written for so long belongs to a publisher that is no more.
_STALE_SECONDS = 3600.0


class LocalVersions(Versions):
    """A poll at any moment sees a whole version or none."""

    def publish(self, model: str, card: str | None = None) -> int:
        """As described; what was copied is read back and compared with the digests of `model` first.

        Raises:
          OSError: the copy is not what `model` is, or cannot be written; nothing appears.
        """
        os.makedirs(self.directory, exist_ok=True)
        self._sweep()
        staging = self._new_folder()
        try:
            digests = file_digests(model)
            _copy_files(model, staging)
            check_copy(staging, digests)
            write_manifest(staging, digests)
            if card:
                shutil.copyfile(card, os.path.join(staging, CARD))
            return self._rename_to_next_version(staging)
        finally:
            shutil.rmtree(staging, ignore_errors=True)

    def _rename_to_next_version(self, staging: str) -> int:
        while True:
            version = max([*self.published(), *self.withdrawn()], default=0) + 1
            try:
                # Renaming onto a directory that is not empty fails: whoever comes second takes the next number.
                os.rename(staging, self._path(str(version)))
            except OSError:
                if version not in self.published():
                    raise
            else:
                return version

    def _sweep(self) -> None:
        """Removes what publishers that were killed left behind."""
        for name in self._names():
            path = self._path(name)
            if name.startswith(_STAGING_PREFIX) and time.time() - _last_written(path) > _STALE_SECONDS:
                shutil.rmtree(path, ignore_errors=True)

    def _new_folder(self) -> str:
        folder = self._path(f"{_STAGING_PREFIX}{uuid.uuid4().hex}")
        os.mkdir(folder)
        return folder

    def _path(self, name: str) -> str:
        return os.path.join(self.directory, name)

    def _names(self) -> list[str]:
        return os.listdir(self.directory) if os.path.isdir(self.directory) else []

    def _is_whole(self, name: str) -> bool:
        return True

    def _manifest(self, name: str) -> dict[str, str] | None:
        return read_manifest(self._path(name))

    def _move(self, name: str, target: str) -> None:
        os.rename(self._path(name), self._path(target))

    def _remove(self, name: str) -> None:
        retired = self._new_folder()
        with contextlib.suppress(FileNotFoundError):  # another publisher was first
            os.rename(self._path(name), os.path.join(retired, name))
        shutil.rmtree(retired, ignore_errors=True)


def _copy_files(source: str, target: str) -> None:
    """Copies all files below `source`, with modes as the umask says.

    TensorFlow's own directories have mode 755 whatever it is. Another user of the group could not remove them.
    """
    for folder, _, names in os.walk(source):
        copied = os.path.join(target, os.path.relpath(folder, source))
        os.makedirs(copied, exist_ok=True)
        for name in names:
            shutil.copyfile(os.path.join(folder, name), os.path.join(copied, name))


def _last_written(folder: str) -> float:
    """When something in `folder` changed last; now, for a folder that is just going."""
    with contextlib.suppress(OSError):
        return max((os.path.getmtime(path) for path, _, _ in os.walk(folder)), default=time.time())
    return time.time()
