"""ML Metadata's database of a root in a store. Artifacts have its URL there, and the path of the working copy here."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

from components.pusher.withdrawals import DESTINATION_PROPERTY
from pipeline.records.metadata_backup import is_sound

_LIVE = 2  # ml_metadata's Artifact.LIVE. Importing it would take a second
# Versions are in the store only, and executions and records name their URLs.
_PLACES = (("Artifact", "uri", "1"), ("ArtifactProperty", "string_value", f"name != '{DESTINATION_PROPERTY}'"))
_ARTIFACTS = """
    SELECT uri, string_value FROM Artifact LEFT JOIN ArtifactProperty
    ON artifact_id = id AND ArtifactProperty.name = 'file_digests' WHERE state = ?
"""


def copy_database(source: Path, target: Path, old: str = "", new: str = "") -> None:
    """Copies a database in one piece, and replaces the beginning `old` of URIs and properties of artifacts by `new`.

    URLs of published versions stay.
    """
    target.unlink(missing_ok=True)
    with contextlib.closing(sqlite3.connect(source)) as original, contextlib.closing(sqlite3.connect(target)) as copy:
        original.backup(copy)
        copy.execute("PRAGMA journal_mode=DELETE")
        if old:
            with copy:
                for table, column, condition in _PLACES:
                    copy.execute(
                        f"UPDATE {table} SET {column} = ? || substr({column}, ?) "
                        f"WHERE substr({column}, 1, ?) = ? AND {condition}",
                        (f"{new}/", len(old) + 2, len(old) + 1, f"{old}/"),
                    )


def live_artifacts(database: Path, beginning: str) -> dict[str, str]:
    """Returns the digests of each artifact that is in use, as JSON, by its path below `beginning`.

    Returns:
      Nothing if there is no database.
    """
    if not is_sound(database):
        return {}
    with contextlib.closing(sqlite3.connect(database)) as opened:
        rows = opened.execute(_ARTIFACTS, (_LIVE,)).fetchall()
    below = f"{beginning}/"
    return {uri.removeprefix(below): digests or "" for uri, digests in rows if uri and uri.startswith(below)}
