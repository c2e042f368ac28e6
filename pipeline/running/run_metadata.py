"""ML Metadata of a run on this machine: one connection for the whole run, and fewer waits for the disk.

A run stores about eighty changes. TFX opens a connection for every few of them, and in SQLite's default journal each
change waits for the disk several times. In the write-ahead log, it waits once. Both keep every change of a killed run.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tfx.orchestration import metadata

from pipeline.records.metadata_backup import back_up


@contextlib.contextmanager
def opened(file: Path) -> Iterator[metadata.Metadata]:
    """Connects to the SQLite file of ML Metadata inside the block.

    The file has a write-ahead log meanwhile, and after a failure or a kill until the end of the next run. Afterwards
    it is a single file again, which can be read where nothing can be written, and is copied.
    """
    _set_journal(file, "WAL")
    handle = _Held(metadata.sqlite_metadata_connection_config(str(file)))
    try:
        yield handle
    finally:
        handle.close()
    _set_journal(file, "DELETE")
    back_up(file)


class _Held(metadata.Metadata):
    """A connection that stays open between its uses."""

    _is_open = False

    def __enter__(self) -> metadata.Metadata:
        if not self._is_open:
            super().__enter__()
            self._is_open = True
        return self

    def __exit__(self, *_: Any) -> None:
        """Does nothing."""

    def close(self) -> None:
        """Closes the connection, if it was used."""
        if self._is_open:
            super().__exit__()
            self._is_open = False


def _set_journal(file: Path, mode: str) -> None:
    """Changes how SQLite stores changes. Leaves it where another process uses the file, or the disk has no such mode.

    Call it only while this process has no other connection: ML Metadata has its own copy of SQLite, and two copies do
    not see each other's locks.
    """
    with contextlib.suppress(sqlite3.Error), contextlib.closing(sqlite3.connect(file, timeout=1)) as connection:
        connection.execute(f"PRAGMA journal_mode={mode}")
