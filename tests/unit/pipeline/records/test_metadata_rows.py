"""Executions are removed from ML Metadata with everything that only they have, and nothing else changes."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

import ml_metadata as mlmd
import pytest
from ml_metadata.proto import metadata_store_pb2

from pipeline.records.metadata_rows import SCHEMA_VERSION, remove_executions
from pipeline.records.store import open_store, recorded

_Artifact, _Context, _Execution = (
    metadata_store_pb2.Artifact, metadata_store_pb2.Context, metadata_store_pb2.Execution
)  # fmt: skip
_Event = metadata_store_pb2.Event

# Every column that names a row of another table, as the schema of ML Metadata defines them.
_REFERENCES = {
    ("ArtifactProperty", "artifact_id"): "Artifact", ("ExecutionProperty", "execution_id"): "Execution",
    ("ContextProperty", "context_id"): "Context", ("Event", "artifact_id"): "Artifact",
    ("Event", "execution_id"): "Execution", ("EventPath", "event_id"): "Event",
    ("Association", "context_id"): "Context", ("Association", "execution_id"): "Execution",
    ("Attribution", "context_id"): "Context", ("Attribution", "artifact_id"): "Artifact",
    ("ParentContext", "context_id"): "Context", ("ParentContext", "parent_context_id"): "Context",
}  # fmt: skip


class Database:
    """Runs 1 to 4 of a node, each with a data artifact of its own, a model of its own, and one input that all share."""

    def __init__(self, file: Path) -> None:
        self.file = file
        connection = metadata_store_pb2.ConnectionConfig()
        connection.sqlite.filename_uri = str(file)
        connection.sqlite.connection_mode = metadata_store_pb2.SqliteMetadataSourceConfig.READWRITE_OPENCREATE
        self.store = mlmd.MetadataStore(connection)
        self._model = self.store.put_artifact_type(metadata_store_pb2.ArtifactType(name="Model"))
        self._trainer = self.store.put_execution_type(metadata_store_pb2.ExecutionType(name="Trainer"))
        kinds = ("pipeline", "pipeline_run", "node", "execution_cache")
        self._kinds = {k: self.store.put_context_type(metadata_store_pb2.ContextType(name=k)) for k in kinds}
        (self.shared,) = self.store.put_artifacts([_Artifact(type_id=self._model, uri="shared")])
        self.executions = {number: self._run(number) for number in (1, 2, 3, 4)}

    def _run(self, number: int) -> int:
        execution = _Execution(type_id=self._trainer, last_known_state=_Execution.COMPLETE)
        execution.custom_properties["settings"].string_value = "x" * 200
        model = _Artifact(type_id=self._model, uri=f"model-{number}")
        model.custom_properties["rows"].int_value = number
        shared = _Artifact(id=self.shared, type_id=self._model, uri="shared")
        names = (("pipeline", "p"), ("pipeline_run", str(number)), ("node", "p.Trainer"))
        names += (("execution_cache", f"key-{number}"),)
        contexts = [self._context(kind, name) for kind, name in names]
        output, given = _Event(type=_Event.OUTPUT), _Event(type=_Event.INPUT)
        for event, key in ((output, "model"), (given, "data")):
            event.path.steps.add(key=key)
        id_, _, context_ids = self.store.put_execution(execution, [(shared, given), (model, output)], contexts)
        run, pipeline = context_ids[1], context_ids[0]
        self.store.put_parent_contexts([metadata_store_pb2.ParentContext(child_id=run, parent_id=pipeline)])
        return int(id_)

    def _context(self, kind: str, name: str) -> metadata_store_pb2.Context:
        return self.store.get_context_by_type_and_name(kind, name) or _Context(type_id=self._kinds[kind], name=name)

    def uris(self) -> set[str]:
        return {artifact.uri for artifact in self.store.get_artifacts()}

    def names(self, kind: str) -> set[str]:
        return {context.name for context in self.store.get_contexts_by_type(kind)}

    def dangling(self) -> dict[tuple[str, str], int]:
        """Returns how many references to rows that do not exist each column has."""
        with contextlib.closing(sqlite3.connect(self.file)) as database:
            counts = {
                (table, column): database.execute(
                    f"SELECT count(*) FROM {table} WHERE {column} NOT IN (SELECT id FROM {target})"
                ).fetchone()[0]
                for (table, column), target in _REFERENCES.items()
            }
        return {place: count for place, count in counts.items() if count}


@pytest.fixture
def database(tmp_path: Path) -> Database:
    return Database(tmp_path / "metadata.sqlite")


def test_removed_runs_leave_nothing(database: Database) -> None:
    kept = [database.executions[3], database.executions[4]]
    assert remove_executions(database.file, kept) == 2
    assert {execution.id for execution in database.store.get_executions()} == set(kept)
    assert database.uris() == {"shared", "model-3", "model-4"}
    assert database.names("pipeline_run") == {"3", "4"} and database.names("execution_cache") == {"key-3", "key-4"}
    assert database.names("pipeline") == {"p"} and database.names("node") == {"p.Trainer"}
    assert database.dangling() == {}
    assert remove_executions(database.file, kept) == 0


def test_kept_executions_keep_everything(database: Database) -> None:
    execution = database.executions[4]
    events = sorted(database.store.get_events_by_execution_ids([execution]), key=lambda event: event.type)
    contexts = {context.name for context in database.store.get_contexts_by_execution(execution)}
    remove_executions(database.file, [execution])
    after = sorted(database.store.get_events_by_execution_ids([execution]), key=lambda event: event.type)
    assert after == events and [event.path.steps[0].key for event in after] == ["data", "model"]
    assert {context.name for context in database.store.get_contexts_by_execution(execution)} == contexts
    (found,) = database.store.get_executions_by_id([execution])
    assert found.custom_properties["settings"].string_value == "x" * 200


def test_new_executions_get_new_ids(database: Database) -> None:
    """Folders of artifacts have the ids of executions as names, so that an id must not return."""
    newest = max(database.executions.values())
    remove_executions(database.file, [database.executions[1]])
    assert database._run(5) == newest + 1


def test_records_of_commands_stay(database: Database) -> None:
    (model,) = [artifact for artifact in database.store.get_artifacts() if artifact.uri == "model-1"]
    with recorded(database.store, "kindred.Rollback", {"version": 1}, [model]):
        pass
    remove_executions(database.file, [database.executions[4]])
    assert len(database.store.get_executions_by_type("kindred.Rollback")) == 1
    assert database.uris() == {"shared", "model-1", "model-4"}, "what the command names stays"
    assert database.dangling() == {}


def test_dry_run_changes_nothing(database: Database) -> None:
    before = database.file.read_bytes()
    assert remove_executions(database.file, [database.executions[4]], dry_run=True) == 3
    assert database.file.read_bytes() == before


def test_file_shrinks(database: Database) -> None:
    for number in range(5, 60):
        database.executions[number] = database._run(number)
    size = database.file.stat().st_size
    remove_executions(database.file, [database.executions[59]])
    assert database.file.stat().st_size < size


def test_failure_leaves_all_rows(database: Database) -> None:
    with contextlib.closing(sqlite3.connect(database.file)) as other:
        other.execute("CREATE TRIGGER broken BEFORE DELETE ON Attribution BEGIN SELECT RAISE(ABORT, 'planted'); END")
        other.commit()
    with pytest.raises(sqlite3.Error, match="planted"):
        remove_executions(database.file, [database.executions[4]])
    assert len(database.store.get_executions()) == 4 and database.dangling() == {}


def test_unknown_schema_is_left_alone(database: Database, caplog: pytest.LogCaptureFixture) -> None:
    with contextlib.closing(sqlite3.connect(database.file)) as other:
        other.execute("UPDATE MLMDEnv SET schema_version = 11")
        other.commit()
    assert remove_executions(database.file, []) == 0
    assert "its schema 11 is unknown" in caplog.text


def test_schema_is_that_of_the_installed_version(database: Database) -> None:
    """Guards the tables that this module knows against a new version of ML Metadata."""
    with contextlib.closing(sqlite3.connect(database.file)) as opened:
        (version,) = opened.execute("SELECT schema_version FROM MLMDEnv").fetchone()
        tables = {name for (name,) in opened.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        columns = {
            (table, column)
            for table in tables
            for _, column, *_ in opened.execute(f"PRAGMA table_info({table})")
            if column.endswith(("artifact_id", "execution_id", "context_id", "event_id"))
        }
    assert version == SCHEMA_VERSION
    assert columns == set(_REFERENCES)
    assert open_store(database.file).get_executions()
