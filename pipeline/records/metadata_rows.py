"""Removes executions, and what only they have, from ML Metadata's SQLite file.

ML Metadata has no call that deletes a node. Its schema of tables is public, and has a version:
ml_metadata/util/metadata_source_query_config.cc
"""

from __future__ import annotations

import contextlib
import logging
import sqlite3
from collections.abc import Iterable
from pathlib import Path

SCHEMA_VERSION = 10
"""The schema whose tables this module knows. With another one, it removes nothing."""

_BUSY_SECONDS = 10.0
_UNNEEDED = """
    SELECT id FROM Execution WHERE id NOT IN (SELECT id FROM temp.kept) AND id IN (
      SELECT execution_id FROM Association JOIN Context ON Context.id = context_id JOIN Type ON Type.id = type_id
      WHERE Type.name = 'pipeline_run')
"""
# In this order, because each statement looks at what the ones before it left.
_REMOVALS = f"""
    CREATE TEMP TABLE touched AS SELECT DISTINCT artifact_id AS id FROM Event WHERE execution_id IN ({_UNNEEDED});
    DELETE FROM Execution WHERE id IN ({_UNNEEDED});
    DELETE FROM ExecutionProperty WHERE execution_id NOT IN (SELECT id FROM Execution);
    DELETE FROM Association WHERE execution_id NOT IN (SELECT id FROM Execution);
    DELETE FROM Event WHERE execution_id NOT IN (SELECT id FROM Execution);
    DELETE FROM EventPath WHERE event_id NOT IN (SELECT id FROM Event);
    DELETE FROM Artifact WHERE id IN (SELECT id FROM temp.touched) AND id NOT IN (SELECT artifact_id FROM Event);
    DELETE FROM ArtifactProperty WHERE artifact_id NOT IN (SELECT id FROM Artifact);
    DELETE FROM Context WHERE id NOT IN (SELECT context_id FROM Association)
      AND type_id IN (SELECT id FROM Type WHERE name IN ('pipeline_run', 'execution_cache'));
    DELETE FROM ContextProperty WHERE context_id NOT IN (SELECT id FROM Context);
    DELETE FROM ParentContext WHERE context_id NOT IN (SELECT id FROM Context);
    DELETE FROM Attribution
      WHERE context_id NOT IN (SELECT id FROM Context) OR artifact_id NOT IN (SELECT id FROM Artifact);
"""


def remove_executions(file: Path, kept: Iterable[int], dry_run: bool = False) -> int:
    """Removes the executions of runs that are not kept, in one transaction.

    Their events and artifacts go with them, unless a kept execution has the same artifact, and so do the contexts of
    runs and of cache entries that nothing uses any more. What commands recorded outside runs stays.

    Args:
      file: the database. No run may use it.
      kept: the ids of the executions to keep.
      dry_run: whether to remove nothing, and only count.

    Returns:
      The number of executions that were removed, or would be.

    Raises:
      sqlite3.Error: the file cannot be changed. It stays as it was.
    """
    with contextlib.closing(sqlite3.connect(file, timeout=_BUSY_SECONDS, isolation_level=None)) as database:
        (version,) = database.execute("SELECT schema_version FROM MLMDEnv").fetchone()
        if version != SCHEMA_VERSION:
            logging.warning("%s: its schema %s is unknown, so that no row is removed from it", file, version)
            return 0
        database.execute("CREATE TEMP TABLE kept (id INTEGER PRIMARY KEY)")
        database.executemany("INSERT INTO temp.kept VALUES (?)", ((id_,) for id_ in set(kept)))
        (count,) = database.execute(f"SELECT count(*) FROM ({_UNNEEDED})").fetchone()
        if count and not dry_run:
            database.executescript(f"BEGIN IMMEDIATE; {_REMOVALS} COMMIT")
            with contextlib.suppress(sqlite3.OperationalError):  # a reader holds the file: the next time shrinks it
                database.execute("VACUUM")
        return int(count)
