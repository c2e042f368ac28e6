"""Refuses paths that are too long for the libraries that open files in them."""

from __future__ import annotations

import os
from pathlib import Path

from errors import ConfigError, RootError

# SQLite opens files with names of up to 504 bytes. The longest name of ours is `.metadata.sqlite.backup.PID`.
_LONGEST_ROOT = 450
# Of a file system, and of a path less room for the files of a version.
_LONGEST_NAME, _LONGEST_PATH = 255, 3500
_SHOWN = 60


def check_root(path: Path) -> None:
    """Checks the absolute path of a root.

    Raises:
      RootError: SQLite could not open the database.
    """
    length = len(os.fsencode(path))
    if length > _LONGEST_ROOT:
        raise RootError(
            f"--root {str(path)[:_SHOWN]}...: the absolute path has {length:,} bytes, and SQLite opens the database of "
            f"ML Metadata only in directories of up to {_LONGEST_ROOT}. Set --root to a directory with a shorter path"
        )


def check_destination(directory: str) -> None:
    """Checks the absolute path of `publish.to`.

    Raises:
      ConfigError: a file system cannot have it.
    """
    length, longest = len(os.fsencode(directory)), max(len(os.fsencode(name)) for name in Path(directory).parts)
    if longest > _LONGEST_NAME or length > _LONGEST_PATH:
        raise ConfigError(
            f"publish.to: {directory[:_SHOWN]}...: a name may have {_LONGEST_NAME} bytes, the path {_LONGEST_PATH:,} "
            f"(got {longest:,} and {length:,}). Set publish.to to a shorter path"
        )
