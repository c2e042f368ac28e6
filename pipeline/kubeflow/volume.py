"""Checks that tasks can write to a volume: `python -m pipeline.kubeflow.volume /kindred`.

The job in deploy/kubeflow/profile/volume.yaml runs it as the user and group of the tasks. It imports only the standard
library, so that it needs little memory.
"""

from __future__ import annotations

import argparse
import contextlib
import errno
import os
import stat
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from kindred.terminal import log

SHARED_MODE = 0o2775
"""The owner and the group can write, others can read, and new files inherit the group."""

_STORAGE_REFUSES = (
    "Next: the storage does not give the volume to group 0 (fsGroup). Give it group 0 and mode 2775 in "
    "storage class or its access point, or run the job once with the Kustomize component root-owned-volume, which is "
    "next to its manifest."
)
_NEXT_STEPS = {
    errno.EROFS: "Next: mount the volume for writing, with access mode ReadWriteMany.",
    errno.ENOSPC: "Next: ask for more storage in the claim.",
    errno.EDQUOT: "Next: ask for more storage in the claim, or a larger quota.",
    errno.ENOENT: "Next: mount the volume there.",
    errno.ENOTDIR: "Next: mount the volume there.",
    errno.EACCES: _STORAGE_REFUSES,
    errno.EPERM: _STORAGE_REFUSES,
}


def main(words: Sequence[str] | None = None) -> int:
    """Prints whether the directory is writable. If not, prints the reason and the next step. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="pipeline.kubeflow.volume", allow_abbrev=False)
    parser.add_argument("directory", type=Path)
    directory: Path = parser.parse_args(words).directory
    os.umask(0o002)
    try:
        share_with_group(directory)
        try_writing(directory)
    except OSError as error:
        log(f"error: {_identity()} cannot write to {_describe(directory)}: {error.strerror}")
        log(_NEXT_STEPS.get(error.errno or 0, "Next: check the storage behind the volume."))
        return 1
    print(f"{_identity()} can write to {_describe(directory)}")
    return 0


def share_with_group(directory: Path) -> None:
    """Makes `directory` writable for the group of this process, if this user owns it."""
    found = directory.stat()
    if found.st_uid != os.geteuid():
        return
    # Some storage has a fixed owner and mode, and refuses the change. `try_writing` decides.
    with contextlib.suppress(OSError):
        os.chown(directory, -1, os.getegid())
        directory.chmod(stat.S_IMODE(found.st_mode) | SHARED_MODE)


def try_writing(directory: Path) -> None:
    """Does the same as tasks: creates a directory, writes a file, renames it, reads it, and removes both.

    Raises:
      OSError: one of the steps failed.
    """
    with tempfile.TemporaryDirectory(prefix=".kindred-check-", dir=directory) as folder:
        staged = Path(folder, "staged")
        with staged.open("wb") as file:
            file.write(b"kindred")
            file.flush()
            os.fsync(file.fileno())
        written = staged.rename(staged.with_name("written"))
        if written.read_bytes() != b"kindred":
            raise OSError(errno.EIO, "a written file cannot be read back")


def _identity() -> str:
    return f"user {os.geteuid()} of group {os.getegid()}"


def _describe(directory: Path) -> str:
    try:
        found = directory.stat()
    except OSError:
        return str(directory)
    mode = stat.S_IMODE(found.st_mode)
    return f"{directory} (owner {found.st_uid}, group {found.st_gid}, mode {mode:o})"


if __name__ == "__main__":
    sys.exit(main())
