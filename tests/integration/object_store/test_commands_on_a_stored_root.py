"""Commands on a root in an object store, from a machine other than the one that ran."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import ml_metadata as mlmd
import pytest
from ml_metadata.proto import metadata_store_pb2

from components.pusher.remote import RemoteVersions
from pipeline.commands import root_cli
from pipeline.commands.rollback import roll_back
from pipeline.commands.verify import verify
from pipeline.records.find_run import find_run
from pipeline.records.history import Version, destination_of, runs_of, versions_of
from pipeline.records.root import Root
from pipeline.running.artifact_digests import add_digests
from pipeline.running.pruning import Kept, prune
from storage.cache import CACHE
from tests.object_store import Bucket, FaultyProxy

pytestmark = pytest.mark.tensorflow
_Artifact = metadata_store_pb2.Artifact


def _run(root: Root, run_id: str) -> None:
    """What a run leaves: an artifact, a version, a record and pages."""
    with root.locked():
        connection = metadata_store_pb2.ConnectionConfig()
        connection.sqlite.filename_uri = str(root.metadata)
        connection.sqlite.connection_mode = metadata_store_pb2.SqliteMetadataSourceConfig.READWRITE_OPENCREATE
        store = mlmd.MetadataStore(connection)
        kind = store.put_artifact_type(metadata_store_pb2.ArtifactType(name="Model"))
        execution_type = store.put_execution_type(metadata_store_pb2.ExecutionType(name="Trainer"))
        context_type = store.put_context_type(metadata_store_pb2.ContextType(name="pipeline_run"))
        folder = root.artifacts / "Trainer" / "model" / run_id
        folder.mkdir(parents=True)
        (folder / "saved_model.pb").write_text(f"model of {run_id}")
        artifact = _Artifact(type_id=kind, uri=str(folder), state=_Artifact.LIVE)
        add_digests([artifact])
        event = metadata_store_pb2.Event(type=metadata_store_pb2.Event.OUTPUT)
        event.path.steps.add().key = "model"
        execution = metadata_store_pb2.Execution(
            type_id=execution_type, last_known_state=metadata_store_pb2.Execution.COMPLETE
        )
        execution.custom_properties["custom_config"].string_value = "{}"
        contexts = [metadata_store_pb2.Context(type_id=context_type, name=run_id), _node(store)]
        store.put_execution(execution, [(artifact, event)], contexts)
        version = RemoteVersions(root.place_of("serving"), "films").publish(str(folder))
        record = root.runs / run_id
        record.mkdir(parents=True)
        summary = {"status": "published", "components": [], "run_id": run_id, "pipeline": "films"}
        (record / "summary.json").write_text(json.dumps({**summary, "published": f"serving/{version}"}))
        (record / "report.html").write_text(f"report of {run_id}")
        (record / "run.log").write_text("log")


def _node(store: mlmd.MetadataStore) -> metadata_store_pb2.Context:
    name = "films.Trainer"
    kind = store.put_context_type(metadata_store_pb2.ContextType(name="node"))
    known = store.get_context_by_type_and_name("node", name)
    return known or metadata_store_pb2.Context(type_id=kind, name=name)


@pytest.fixture
def machine(
    bucket: Bucket, proxy: FaultyProxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], Root]:
    """Returns the root as a machine sees it. Two runs have ended on the machine `one`."""

    def root_on(name: str) -> Root:
        monkeypatch.setenv(CACHE, str(tmp_path / name))
        return Root.at(f"{bucket.url}/films", "").fetch()

    for run_id in ("1", "2"):
        _run(root_on("one"), run_id)
    return root_on


def test_runs_versions_and_reports_are_read(machine: Callable[[str], Root], bucket: Bucket) -> None:
    root = machine("two")
    assert [(run.folder.path.name, run.state) for run in runs_of(root)] == [("1", "published"), ("2", "published")]
    assert destination_of(root) == f"{bucket.url}/films/serving"
    rows = versions_of(root, destination_of(root))
    assert rows == [Version(1, "published", "1"), Version(2, "served", "2")]
    path = root_cli.report_here("1", f"{bucket.url}/films", why=False, as_json=False)
    assert path is not None and path.read_text() == "report of 1"
    assert find_run("latest", f"{bucket.url}/films").path.name == "2"


def test_rollback_on_one_machine_is_seen_on_another(machine: Callable[[str], Root], bucket: Bucket) -> None:
    text = roll_back(machine("two"), "serving", False, "wrong films").describe()
    assert f"{bucket.url}/films/serving" in text
    rows = versions_of(root := machine("three"), destination_of(root))
    assert [(row.number, row.state) for row in rows] == [(1, "served"), (2, "withdrawn")]
    assert rows[1].note.endswith(": wrong films")


def test_verify_reads_the_store(machine: Callable[[str], Root], bucket: Bucket) -> None:
    def check() -> dict[str, str]:
        return {finding.path: finding.problem for finding in verify(machine("two"), False, lambda _: None).findings}

    assert check() == {}
    artifact, version = "films/pipeline/Trainer/model/1/saved_model.pb", "films/serving/2/saved_model.pb"
    for key in (artifact, version):
        bucket.put(key, bucket.get(key).upper())
    assert check() == {
        f"{bucket.url}/{artifact}": "is missing or changed",
        f"{bucket.url}/{version}": "differs from the manifest",
    }
    assert not verify(machine("two"), True, lambda _: None).is_whole, "a version in a store is not renamed"
    assert check().keys() == {f"{bucket.url}/{version}"}, "the artifact counts as deleted on every machine"


def test_prune_removes_from_the_store(machine: Callable[[str], Root], bucket: Bucket) -> None:
    with (root := machine("two")).locked():
        prune(root, Kept(runs=1))
    assert len(runs_of(machine("three"))) == 2, "the runs of published versions are kept"
    versions = RemoteVersions(f"{bucket.url}/films/serving")
    versions.retire(1)
    with (root := machine("two")).locked():
        removed = prune(root, Kept(runs=1))
    assert "1 artifact, 2 old reports and logs" in str(removed)
    keys = [key for key in bucket.keys("films/") if not key.endswith("/")]
    assert not [key for key in keys if "/model/1/" in key]
    assert [key for key in keys if "/runs/1/" in key] == ["films/runs/1/summary.json"]
    assert len([key for key in keys if "/model/2/" in key or "/runs/2/" in key]) == 4
