"""`kindred approve` publishes a waiting version, and records that before it happens."""

from __future__ import annotations

import json
from pathlib import Path

import ml_metadata as mlmd
import pytest
from ml_metadata.proto import metadata_store_pb2

from components.pusher.local import LocalVersions
from errors import RollbackError, RootError
from pipeline.commands.approve import EXECUTION_TYPE, approve
from pipeline.records.root import Root
from pipeline.records.run_folder import RunFolder

pytestmark = pytest.mark.tensorflow


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "saved_model.pb").write_text("model")
    return folder


@pytest.fixture
def root(tmp_path: Path, model: Path) -> Root:
    """A root with published version 1 and version 2 that awaits approval, recorded as the Pusher does."""
    root = Root(tmp_path / "root")
    versions = LocalVersions(str(root.path / "serving"), "films")
    assert versions.publish(str(model)) == 1
    assert versions.publish(str(model), await_approval=True) == 2
    store = _store(root)
    kind = store.put_artifact_type(metadata_store_pb2.ArtifactType(name="PushedModel"))
    pushed = metadata_store_pb2.Artifact(type_id=kind, uri="pushed/2")
    pushed.custom_properties["pushed"].int_value = 0
    pushed.custom_properties["awaiting_approval"].int_value = 2
    store.put_artifacts([pushed])
    for run_id in ("1", "2"):
        folder = RunFolder(root.runs / run_id)
        folder.path.mkdir(parents=True)
        summary = {"status": "awaiting_approval", "run_id": run_id, "components": [], "awaiting": 2, "published": None}
        folder.summary.write_text(json.dumps(summary))
    return root


def _store(root: Root) -> mlmd.MetadataStore:
    connection = metadata_store_pb2.ConnectionConfig()
    connection.sqlite.filename_uri = str(root.metadata)
    connection.sqlite.connection_mode = metadata_store_pb2.SqliteMetadataSourceConfig.READWRITE_OPENCREATE
    return mlmd.MetadataStore(connection)


def _versions(root: Root) -> LocalVersions:
    return LocalVersions(str(root.path / "serving"))


def _approve(root: Root, version: int = 2) -> str:
    return approve(root, version, "looks good", lambda folder: folder.report.write_text("report"))


def test_waiting_version_is_published_and_recorded(root: Root) -> None:
    assert _approve(root) == str(root.path / "serving" / "2")
    assert (_versions(root).published(), _versions(root).awaiting()) == ([1, 2], [])
    store = _store(root)
    (execution,) = store.get_executions_by_type(EXECUTION_TYPE)
    assert execution.last_known_state == metadata_store_pb2.Execution.COMPLETE
    assert execution.custom_properties["reason"].string_value == "looks good"
    (pushed,) = store.get_artifacts_by_type("PushedModel")
    assert pushed.custom_properties["pushed"].int_value == 1
    assert pushed.custom_properties["pushed_destination"].string_value == str(root.path / "serving" / "2")


def test_records_and_reports_of_its_runs_are_updated(root: Root) -> None:
    _approve(root)
    for run_id in ("1", "2"):
        folder = RunFolder(root.runs / run_id)
        summary = folder.read_summary()
        assert (summary["status"], summary["published"]) == ("published", "serving/2")
        assert summary["approved"] == {"reason": "looks good"} and "awaiting" not in summary
        assert folder.report.read_text() == "report"


def test_servers_do_not_see_a_waiting_version(root: Root) -> None:
    assert _versions(root).published() == [1]
    assert [path.name for path in (root.path / "serving").iterdir() if path.name.isdecimal()] == ["1"]


def test_version_that_does_not_wait_is_refused(root: Root) -> None:
    with pytest.raises(RollbackError, match=r"version 1 does not await approval\. Those that do: 2"):
        _approve(root, 1)
    _versions(root).supersede(3)
    with pytest.raises(RollbackError, match="None does"):
        _approve(root)


def test_second_approval_changes_nothing(root: Root) -> None:
    assert _approve(root) == _approve(root)
    assert len(_store(root).get_executions_by_type(EXECUTION_TYPE)) == 1


def test_approval_that_was_killed_after_the_rename_is_completed(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as killed:
        killed.setattr("pipeline.commands.approve._mark_pushed", _interrupt)
        with pytest.raises(KeyboardInterrupt):
            _approve(root)
    assert _versions(root).published() == [1, 2]
    assert RunFolder(root.runs / "2").read_summary()["status"] == "awaiting_approval"
    _approve(root)
    assert RunFolder(root.runs / "2").read_summary()["status"] == "published"
    (pushed,) = _store(root).get_artifacts_by_type("PushedModel")
    assert pushed.custom_properties["pushed"].int_value == 1


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def test_version_older_than_the_served_one_is_refused(root: Root, model: Path) -> None:
    assert LocalVersions(str(root.path / "serving"), "films").publish(str(model)) == 3
    with pytest.raises(RollbackError, match="version 3 is newer than 2"):
        _approve(root)
    assert _versions(root).awaiting() == [2]


def test_damaged_version_is_refused(root: Root) -> None:
    (root.path / "serving" / ".awaiting-2" / "saved_model.pb").write_text("changed")
    with pytest.raises(RollbackError, match=r"is damaged: saved_model\.pb"):
        _approve(root)
    assert _versions(root).published() == [1]


def test_nothing_is_published_without_a_record(root: Root) -> None:
    root.metadata.write_text("no database")
    with pytest.raises(RootError):
        _approve(root)
    assert (_versions(root).published(), _versions(root).awaiting()) == ([1], [2])


def test_root_in_use_is_refused(root: Root) -> None:
    with root.locked(), pytest.raises(RootError, match="another run is using it"):
        _approve(root)


def test_newer_waiting_version_supersedes_older_ones(root: Root, model: Path) -> None:
    versions = LocalVersions(str(root.path / "serving"), "films")
    assert versions.awaiting_if_same(str(model)) == 2
    (model / "saved_model.pb").write_text("another")
    assert versions.awaiting_if_same(str(model)) is None
    assert versions.publish(str(model), await_approval=True) == 3
    versions.supersede(3)
    assert (versions.awaiting(), versions.published()) == ([3], [1])
