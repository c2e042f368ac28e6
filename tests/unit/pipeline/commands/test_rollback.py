"""`kindred rollback`: serves the previous version, and records the change in ML Metadata."""

from __future__ import annotations

from pathlib import Path

import ml_metadata as mlmd
import pytest
from ml_metadata.proto import metadata_store_pb2

from components.pusher.local import LocalVersions
from errors import RollbackError, RootError
from pipeline.commands.rollback import EXECUTION_TYPE, roll_back
from pipeline.records.metadata_backup import back_up
from pipeline.records.root import Root

pytestmark = pytest.mark.tensorflow


@pytest.fixture
def root(tmp_path: Path) -> Root:
    """A root with three versions, recorded as the Pusher does."""
    root = Root(tmp_path / "root")
    store = _store(root)
    kind = store.put_artifact_type(metadata_store_pb2.ArtifactType(name="PushedModel"))
    for version in (1, 2, 3):
        folder = root.path / "serving" / str(version)
        folder.mkdir(parents=True)
        (folder / "saved_model.pb").write_text(str(version))
        pushed = metadata_store_pb2.Artifact(type_id=kind, uri=f"pushed/{version}")
        pushed.custom_properties["pushed_destination"].string_value = str(folder)
        store.put_artifacts([pushed])
    return root


def _store(root: Root) -> mlmd.MetadataStore:
    root.path.mkdir(exist_ok=True)
    connection = metadata_store_pb2.ConnectionConfig()
    connection.sqlite.filename_uri = str(root.metadata)
    connection.sqlite.connection_mode = metadata_store_pb2.SqliteMetadataSourceConfig.READWRITE_OPENCREATE
    return mlmd.MetadataStore(connection)


def _recorded(root: Root) -> list[dict]:
    store = _store(root)
    found = []
    for execution in sorted(store.get_executions_by_type(EXECUTION_TYPE), key=lambda execution: execution.id):
        properties = {k: v.int_value or v.string_value for k, v in execution.custom_properties.items()}
        (event,) = store.get_events_by_execution_ids([execution.id])
        (artifact,) = store.get_artifacts_by_id([event.artifact_id])
        found.append({**properties, "input": artifact.uri})
    return found


def test_rollback_is_served_and_recorded(root: Root) -> None:
    message = roll_back(root, "serving", undo=False, reason="stars fell")
    serving = root.path / "serving"
    assert message.startswith(f"version 3 of {serving} is withdrawn and 2 is served")
    assert sorted(path.name for path in serving.iterdir()) == [".withdrawn-3", "1", "2"]
    (record,) = _recorded(root)
    assert (record["version"], record["served"], record["reason"]) == (3, 2, "stars fell")
    assert (record["directory"], record["input"]) == (str(serving), "pushed/3")
    assert record["when"].endswith("+00:00")


def test_undo_is_served_and_recorded(root: Root) -> None:
    roll_back(root, "serving", undo=False, reason="")
    assert roll_back(root, "serving", undo=True, reason="") == f"version 3 of {root.path / 'serving'} is served again"
    assert sorted(path.name for path in (root.path / "serving").iterdir()) == ["1", "2", "3"]
    assert [(record["version"], record["served"], record["undo"]) for record in _recorded(root)] == [
        (3, 2, ""),
        (3, 3, 1),
    ]


def test_single_version_stays(root: Root) -> None:
    for _ in range(2):
        roll_back(root, "serving", undo=False, reason="")
    with pytest.raises(RollbackError, match=r"has 1 version\(s\)") as refused:
        roll_back(root, "serving", undo=False, reason="")
    assert refused.value.exit_code == 2
    assert len(_recorded(root)) == 2


def test_root_without_runs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RollbackError, match="contains no run"):
        roll_back(Root(tmp_path / "none"), "serving", undo=False, reason="")
    assert list(tmp_path.iterdir()) == []


def test_locked_root_is_refused(root: Root) -> None:
    with root.locked(), pytest.raises(RootError, match="another run is using it"):
        roll_back(root, "serving", undo=False, reason="")
    assert (root.path / "serving" / "3").is_dir()


def test_copy_replaces_an_emptied_database(root: Root) -> None:
    back_up(root.metadata)
    root.metadata.write_bytes(b"")
    message = roll_back(root, "serving", undo=False, reason="stars fell")
    assert message.startswith(f"{root.metadata} was empty. The copy of ")
    assert "version 3 of" in message
    assert [record["version"] for record in _recorded(root)] == [3]


@pytest.mark.parametrize("content", [b"", b"x" * 9999])
def test_nothing_is_withdrawn_without_a_record(root: Root, content: bytes) -> None:
    root.metadata.write_bytes(content)
    for _ in range(2):
        with pytest.raises((RollbackError, RootError)):
            roll_back(root, "serving", undo=False, reason="")
    assert sorted(path.name for path in (root.path / "serving").iterdir()) == ["1", "2", "3"]


def test_failed_change_is_recorded_as_failed(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: LocalVersions, version: int) -> None:
        raise PermissionError("no")

    monkeypatch.setattr(LocalVersions, "withdraw", refuse)
    with pytest.raises(PermissionError):
        roll_back(root, "serving", undo=False, reason="")
    (execution,) = _store(root).get_executions_by_type(EXECUTION_TYPE)
    assert execution.last_known_state == metadata_store_pb2.Execution.FAILED
