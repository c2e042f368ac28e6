"""`kindred verify` finds planted damage of each kind, repairs it, and finds nothing afterwards."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import ml_metadata as mlmd
import pytest
from ml_metadata.proto import metadata_store_pb2

from components.pusher.local import LocalVersions
from errors import ReportError, RootError
from pipeline.commands.verify import Verdict, verify
from pipeline.records.metadata_backup import back_up
from pipeline.records.root import Root
from pipeline.records.run_folder import RunFolder
from pipeline.running.artifact_digests import add_digests

pytestmark = pytest.mark.tensorflow


@pytest.fixture
def root(tmp_path: Path) -> Root:
    """A whole root: a database with a copy, two artifacts, two versions, and a run with its report."""
    root = Root(tmp_path / "root")
    connection = metadata_store_pb2.ConnectionConfig()
    connection.sqlite.filename_uri = str(root.metadata)
    connection.sqlite.connection_mode = metadata_store_pb2.SqliteMetadataSourceConfig.READWRITE_OPENCREATE
    root.path.mkdir()
    store = mlmd.MetadataStore(connection)
    kind = store.put_artifact_type(metadata_store_pb2.ArtifactType(name="Examples"))
    for name in ("a", "b"):
        folder = root.artifacts / name
        folder.mkdir(parents=True)
        (folder / "data").write_text(name)
        artifact = metadata_store_pb2.Artifact(type_id=kind, uri=str(folder), state=metadata_store_pb2.Artifact.LIVE)
        add_digests([artifact])
        store.put_artifacts([artifact])
    back_up(root.metadata)
    for _ in range(2):
        LocalVersions(str(root.path / "serving"), "films").publish(str(root.artifacts / "a"))
    folder = RunFolder(root.runs / "1")
    folder.path.mkdir(parents=True)
    summary = {"status": "published", "components": [], "run_id": "1", "published": "serving/2"}
    folder.summary.write_text(json.dumps(summary))
    folder.report.write_text("<html>")
    folder.log.write_text("log")
    return root


def _check(root: Root, repair: bool = False) -> Verdict:
    return verify(root, repair, lambda folder: folder.report.write_text("<html>"))


def test_whole_root_has_no_finding(root: Root) -> None:
    verdict = _check(root)
    assert (verdict.findings, verdict.is_whole) == ([], True)
    assert verdict.counts == {"databases": 1, "artifacts": 2, "versions": 2, "records": 1}
    assert verdict.to_text(False) == "1 database, 2 artifacts, 2 versions, 1 record checked: all are whole"


DAMAGE: dict[str, tuple[Callable[[Root], object], str]] = {
    "changed artifact": (lambda root: (root.artifacts / "a" / "data").write_text("x"), "pipeline/a/data"),
    "missing artifact": (lambda root: (root.artifacts / "b" / "data").unlink(), "pipeline/b/data"),
    "changed version": (lambda root: (root.path / "serving" / "2" / "data").write_text("x"), "serving/2/data"),
    "incomplete version": (lambda root: (root.path / "serving" / "1" / "data").unlink(), "serving/1/data"),
    "emptied database": (lambda root: root.metadata.write_text(""), "metadata.sqlite"),
    "removed database": (lambda root: root.metadata.unlink(), "metadata.sqlite"),
    "damaged database": (lambda root: root.metadata.write_text("no database"), "metadata.sqlite"),
    "cut record": (lambda root: RunFolder(root.runs / "1").summary.write_text('{"status"'), "runs/1/summary.json"),
    "foreign record": (lambda root: RunFolder(root.runs / "1").summary.write_text("[]"), "runs/1/summary.json"),
    "removed report": (lambda root: RunFolder(root.runs / "1").report.unlink(), "runs/1/report.html"),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_damage_is_found_and_repaired(root: Root, kind: str) -> None:
    plant, path = DAMAGE[kind]
    plant(root)
    found = _check(root)
    assert [finding.path for finding in found.findings] == [str(root.path / path)]
    assert not found.is_whole and found.to_text(False).endswith("1 damaged")
    assert [finding.repaired for finding in found.findings] == [""]
    repaired = _check(root, repair=True)
    assert [finding.path for finding in repaired.findings] == [str(root.path / path)]
    assert repaired.is_whole and all(finding.repaired for finding in repaired.findings)
    assert _check(root).findings == []


def test_damaged_version_is_hidden_from_servers(root: Root) -> None:
    (root.path / "serving" / "2" / "data").write_text("x")
    _check(root, repair=True)
    assert LocalVersions(str(root.path / "serving")).published() == [1]
    assert (root.path / "serving" / ".damaged-2" / "data").read_text() == "x"


def test_database_without_copy_is_reported_and_kept(root: Root) -> None:
    root.metadata.with_name("metadata.sqlite.backup").unlink()
    root.metadata.write_text("no database")
    verdict = _check(root, repair=True)
    assert not verdict.is_whole and "no sound copy" in str(verdict.findings[0])
    assert root.metadata.read_text() == "no database"


def test_report_that_cannot_be_written_stays_a_finding(root: Root) -> None:
    RunFolder(root.runs / "1").report.unlink()

    def fail(folder: RunFolder) -> None:
        raise OSError("the disk is full")

    assert not verify(root, True, fail).is_whole


def test_pruned_run_is_whole(root: Root) -> None:
    folder = RunFolder(root.runs / "1")
    folder.report.unlink()
    folder.log.unlink()
    assert _check(root).findings == []


def test_root_in_use_is_refused(root: Root) -> None:
    with root.locked(), pytest.raises(RootError, match="another run is using it"):
        _check(root)


def test_directory_without_runs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ReportError, match="contains no run"):
        _check(Root(tmp_path))


def test_result_as_json(root: Root) -> None:
    (root.artifacts / "a" / "data").write_text("x")
    content = json.loads(_check(root).to_text(True))
    assert content["whole"] is False and content["checked"]["artifacts"] == 2
    assert content["findings"][0]["problem"] == "is missing or changed"
