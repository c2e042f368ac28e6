"""Puts a SavedModel into a directory of versions, as TensorFlow Serving watches one; and takes one back.

A version is a folder whose name is a number. What is being written, retired or was withdrawn has a name that begins
with a dot, which TensorFlow Serving passes over. Directories of other file systems (`gs://`) are in `remote.py`.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import tempfile
import time

from components.pusher.manifest import CARD, MANIFEST, check_copy, file_digests, read_manifest, write_manifest

_STAGING_PREFIX = ".staging-"
_WITHDRAWN = re.compile(r"\.withdrawn-([0-9]+)")
# A staging folder in which nothing was written for so long belongs to a publisher that is no more.
_STALE_SECONDS = 3600.0

__all__ = ["MANIFEST", "file_digests", "newest_if_same", "publish", "restore", "retire", "versions", "withdraw"]


def versions(directory: str) -> list[int]:
    """The published versions in `directory`, oldest first; entries that are no version are passed over."""
    if not os.path.isdir(directory):
        return []
    return sorted(int(name) for name in os.listdir(directory) if name.isdecimal())


def withdrawn(directory: str) -> list[int]:
    """The versions that were withdrawn from `directory`, oldest first."""
    if not os.path.isdir(directory):
        return []
    found = (_WITHDRAWN.fullmatch(name) for name in os.listdir(directory))
    return sorted(int(match.group(1)) for match in found if match)


def publish(model: str, directory: str, card: str | None = None) -> int:
    """Copies SavedModel `model`, and the file `card` about it, into `directory` as the next version, by one rename.

    A poll at any moment sees a whole version or none; two publishers at once get different versions. What was copied
    is read back and compared with the digests of `model` first.

    Returns:
      The version.

    Raises:
      OSError: the copy is not what `model` is, or cannot be written; nothing appears.
    """
    os.makedirs(directory, exist_ok=True)
    _sweep(directory)
    staging = tempfile.mkdtemp(prefix=_STAGING_PREFIX, dir=directory)
    try:
        digests = file_digests(model)
        shutil.copytree(model, staging, dirs_exist_ok=True)
        check_copy(staging, digests)
        write_manifest(staging, digests)
        if card:
            shutil.copyfile(card, os.path.join(staging, CARD))
        os.chmod(staging, 0o755)
        return _rename_to_next_version(staging, directory)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def newest_if_same(model: str, directory: str) -> int | None:
    """The newest version in `directory` if it was published from the very files of `model`, else None."""
    newest = max(versions(directory), default=None)
    if newest is None or read_manifest(os.path.join(directory, str(newest))) != file_digests(model):
        return None
    return newest


def withdrawn_if_same(model: str, directory: str) -> int | None:
    """The withdrawn version that was published from the very files of `model`, else None."""
    digests = file_digests(model)
    for version in withdrawn(directory):
        if read_manifest(_withdrawn_path(directory, version)) == digests:
            return version
    return None


def withdraw(directory: str) -> tuple[int, int]:
    """Takes the newest version away, so that the one before it is served again; it stays, under another name.

    Returns:
      The version withdrawn, and that which is served now.

    Raises:
      LookupError: there are fewer than two versions.
    """
    found = versions(directory)
    if len(found) < 2:
        raise LookupError(f"{directory} holds {len(found)} version(s); there is no earlier one to serve")
    os.rename(os.path.join(directory, str(found[-1])), _withdrawn_path(directory, found[-1]))
    return found[-1], found[-2]


def restore(directory: str) -> tuple[int, int | None]:
    """Undoes the last `withdraw`.

    Returns:
      The version served again, and that which was served before.

    Raises:
      LookupError: none was withdrawn, or a newer one was published since.
    """
    taken, found = withdrawn(directory), versions(directory)
    if not taken:
        raise LookupError(f"{directory} holds no version that was withdrawn")
    if found and found[-1] > taken[-1]:
        raise LookupError(f"{directory}: version {found[-1]} was published after {taken[-1]} was withdrawn")
    # The last to go is the lowest of those above what is served.
    version = min(number for number in taken if not found or number > found[-1])
    os.rename(_withdrawn_path(directory, version), os.path.join(directory, str(version)))
    return version, found[-1] if found else None


def _withdrawn_path(directory: str, version: int) -> str:
    return os.path.join(directory, f".withdrawn-{version}")


def _rename_to_next_version(staging: str, directory: str) -> int:
    while True:
        version = max([*versions(directory), *withdrawn(directory)], default=0) + 1
        try:
            # Renaming onto a directory that is not empty fails: whoever comes second takes the next number.
            os.rename(staging, os.path.join(directory, str(version)))
        except OSError:
            if version not in versions(directory):
                raise
        else:
            return version


def retire(directory: str, keep: int) -> None:
    """Removes all but the `keep` newest versions; each disappears by one rename before its files go.

    Withdrawn versions that are older than all of those go, too.
    """
    kept = versions(directory)[-keep:]
    for version in versions(directory)[:-keep]:
        _remove(directory, str(version))
    for version in withdrawn(directory):
        if kept and version < kept[0]:
            _remove(directory, f".withdrawn-{version}")


def _remove(directory: str, name: str) -> None:
    retired = tempfile.mkdtemp(prefix=_STAGING_PREFIX, dir=directory)
    with contextlib.suppress(FileNotFoundError):  # another publisher was first
        os.rename(os.path.join(directory, name), os.path.join(retired, name))
    shutil.rmtree(retired, ignore_errors=True)


def _sweep(directory: str) -> None:
    """Removes what publishers that were killed left behind."""
    for name in os.listdir(directory):
        path = os.path.join(directory, name)
        if name.startswith(_STAGING_PREFIX) and time.time() - _last_written(path) > _STALE_SECONDS:
            shutil.rmtree(path, ignore_errors=True)


def _last_written(folder: str) -> float:
    """When something in `folder` changed last; now, for a folder that is just going."""
    with contextlib.suppress(OSError):
        return max((os.path.getmtime(path) for path, _, _ in os.walk(folder)), default=time.time())
    return time.time()
