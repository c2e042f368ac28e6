"""A copy of ML Metadata's database after each successful run, which replaces a damaged or emptied database."""

from __future__ import annotations

import contextlib
import datetime
import logging
import os
import shutil
import sqlite3
from pathlib import Path

from errors import RootError

_SUFFIX = ".backup"
_SIDE_FILES = ("-wal", "-shm", "-journal")


def back_up(file: Path) -> None:
    """Copies a database in one piece, also while others read it. Keeps the last copy if the disk is full."""
    staged = file.with_name(f".{file.name}{_SUFFIX}.{os.getpid()}")
    try:
        with contextlib.closing(sqlite3.connect(file)) as source, contextlib.closing(sqlite3.connect(staged)) as copy:
            source.backup(copy)
        os.replace(staged, backup_of(file))
    except (OSError, sqlite3.Error) as error:
        logging.warning("%s was not copied, and its last copy stays: %s", file, error)
    finally:
        with contextlib.suppress(OSError):
            staged.unlink(missing_ok=True)


def backup_of(file: Path) -> Path:
    """Returns the path of the copy."""
    return file.with_name(file.name + _SUFFIX)


def restore_if_damaged(file: Path, artifacts: Path) -> str | None:
    """Replaces a database that is missing, empty or damaged by its copy. Keeps the damaged file under another name.

    Args:
      file: the database. Nothing may use it.
      artifacts: the directory of artifacts. If it has any, the database existed.

    Returns:
      A sentence about what happened, or None if the database is sound or never existed.

    Raises:
      RootError: the database is damaged, and there is no sound copy.
    """
    copy = backup_of(file)
    if is_sound(file):
        return None
    state = "damaged" if file.exists() and file.stat().st_size else "empty" if file.exists() else "missing"
    if not is_sound(copy):
        if state != "damaged" and not copy.exists() and not (artifacts.is_dir() and any(artifacts.iterdir())):
            return None  # a new root
        elsewhere = ""
        if state != "damaged":
            elsewhere = ". Runs on Kubeflow have theirs in a service, unless kubeflow.metadata.sqlite names this file"
        raise RootError(
            f"{file}: ML Metadata's database is {state}, and {copy.name} is no sound copy. Restore one of them from a "
            "backup of your own, or set --root to another directory. "
            f"{artifacts} and the published versions are kept{elsewhere}"
        )
    if state == "damaged":
        os.replace(file, file.with_name(file.name + ".damaged"))
    for suffix in _SIDE_FILES:
        file.with_name(file.name + suffix).unlink(missing_ok=True)
    staged = file.with_name(f".{file.name}.{os.getpid()}")
    shutil.copyfile(copy, staged)
    _pass_over_used_numbers(staged, artifacts)
    os.replace(staged, file)
    when = datetime.datetime.fromtimestamp(copy.stat().st_mtime).isoformat(" ", "minutes")
    return f"{file} was {state}. The copy of {when} replaces it"


def _pass_over_used_numbers(file: Path, artifacts: Path) -> None:
    """Gives later executions numbers that no directory of artifacts has.

    A run after the copy may have written there. Its files must not become part of another execution's output.
    """
    used = [int(name.name) for name in artifacts.glob("*/*/*") if name.name.isdecimal()]
    with contextlib.closing(sqlite3.connect(file)) as database, database:
        # AUTOINCREMENT counts in this table (https://sqlite.org/autoinc.html).
        database.execute(
            "UPDATE sqlite_sequence SET seq = max(seq, ?) WHERE name = 'Execution'", (max(used, default=0),)
        )


def is_sound(file: Path) -> bool:
    """Returns whether a file is a database of ML Metadata that SQLite can read as a whole."""
    if not file.is_file() or not file.stat().st_size:
        return False
    try:
        with contextlib.closing(sqlite3.connect(f"file:{_quoted(file)}?mode=ro", uri=True)) as database:
            (verdict,) = database.execute("PRAGMA quick_check(1)").fetchone()
            tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    except sqlite3.Error:
        return False
    return verdict == "ok" and {"Artifact", "Execution"} <= tables


def _quoted(file: Path) -> str:
    return str(file.absolute()).replace("%", "%25").replace("?", "%3f").replace("#", "%23")
