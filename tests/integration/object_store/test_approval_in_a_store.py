"""`kindred approve` on a root in an object store: a version appears whole, and a second call ends what was killed."""

from __future__ import annotations

import contextlib
import itertools
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import ml_metadata as mlmd
import pytest
from ml_metadata.proto import metadata_store_pb2

from components.pusher.remote import RemoteVersions
from components.pusher.withdrawals import ROLLBACK, withdrawals
from errors import KindredError, RollbackError
from pipeline.commands.approve import EXECUTION_TYPE, approve
from pipeline.commands.rollback import roll_back
from pipeline.records.history import destination_of, versions_of
from pipeline.records.root import Root
from pipeline.records.store import open_store
from serving.downloads import complete_versions
from storage.cache import CACHE
from tests.object_store import Bucket, FaultyProxy

pytestmark = pytest.mark.tensorflow
Machine = Callable[[str], Root]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("storage.faults._FIRST_PAUSE", 0.001)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    for name in ("saved_model.pb", "variables/variables.index"):
        path = tmp_path / "model" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return tmp_path / "model"


@pytest.fixture
def machine(
    bucket: Bucket, proxy: FaultyProxy, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Machine:
    """Returns the root as a machine sees it. Version 1 is served, and version 2 of run 2 awaits approval."""

    def root_on(name: str) -> Root:
        monkeypatch.setenv(CACHE, str(tmp_path / name))
        return Root.at(f"{bucket.url}/films", "").fetch()

    with (root := root_on("one")).locked():
        versions = RemoteVersions(root.place_of("serving"), "films")
        assert versions.publish(str(model)) == 1
        _wait(root, versions, model, 2)
    return root_on


def _wait(root: Root, versions: RemoteVersions, model: Path, version: int) -> None:
    """Leaves what a run leaves whose model awaits approval."""
    assert versions.publish(str(model), await_approval=True) == version
    connection = metadata_store_pb2.ConnectionConfig()
    connection.sqlite.filename_uri = str(root.metadata)
    connection.sqlite.connection_mode = metadata_store_pb2.SqliteMetadataSourceConfig.READWRITE_OPENCREATE
    store = mlmd.MetadataStore(connection)
    kind = store.put_artifact_type(metadata_store_pb2.ArtifactType(name="PushedModel"))
    folder = root.artifacts / "Pusher" / "pushed_model" / str(version)
    folder.mkdir(parents=True)
    pushed = metadata_store_pb2.Artifact(type_id=kind, uri=str(folder), state=metadata_store_pb2.Artifact.LIVE)
    pushed.custom_properties["awaiting_approval"].int_value = version
    store.put_artifacts([pushed])
    run = root.runs / str(version)
    run.mkdir(parents=True)
    summary = {"status": "awaiting_approval", "run_id": str(version), "components": [], "awaiting": version}
    (run / "summary.json").write_text(json.dumps({**summary, "published": None}))
    for name in ("report.html", "run.log"):
        (run / name).write_text(f"first {name}")


def _approve(root: Root, version: int = 2) -> str:
    return approve(root, version, "looks good", lambda folder: folder.report.write_text("approved"))


def _states(root: Root) -> dict[int, str]:
    return {row.number: row.state for row in versions_of(root, destination_of(root))}


def test_servers_do_not_see_a_waiting_version(machine: Machine, bucket: Bucket) -> None:
    assert complete_versions(f"{bucket.url}/films/serving") == ["1"]
    assert {key.split("/")[2] for key in bucket.keys("films/serving/")} - {""} == {"1", ".awaiting-2"}
    assert _states(machine("two")) == {1: "served", 2: "awaiting approval"}


def test_another_machine_approves(machine: Machine, bucket: Bucket) -> None:
    root = machine("two")
    place = _approve(root)
    assert place == f"{bucket.url}/films/serving/2"
    root = machine("three")
    assert _states(root) == {1: "published", 2: "served"}
    assert not [key for key in bucket.keys("films/serving/") if ".awaiting" in key and not key.endswith("/")]
    store = open_store(root.metadata)
    (execution,) = store.get_executions_by_type(EXECUTION_TYPE)
    assert execution.last_known_state == metadata_store_pb2.Execution.COMPLETE
    assert execution.custom_properties["reason"].string_value == "looks good"
    (pushed,) = store.get_artifacts_by_type("PushedModel")
    assert pushed.custom_properties["pushed"].int_value == 1
    assert pushed.custom_properties["pushed_destination"].string_value == place
    summary = json.loads(bucket.get("films/runs/2/summary.json"))
    assert (summary["status"], summary["published"]) == ("published", "serving/2")
    assert summary["approved"] == {"reason": "looks good"} and "awaiting" not in summary
    assert bucket.get("films/runs/2/report.html") == b"approved"
    assert bucket.get("films/runs/2/run.log").startswith(b"first run.log"), "the log of the run is kept"
    assert roll_back(root, "serving", False, "").withdrawn == [2]
    store = open_store(machine("four").metadata)
    assert withdrawals(store).keys() == {place}
    (rollback,) = store.get_executions_by_type(ROLLBACK)
    assert [event.artifact_id for event in store.get_events_by_execution_ids([rollback.id])] == [pushed.id]


def test_what_must_not_be_published_is_refused(machine: Machine, model: Path, bucket: Bucket) -> None:
    with pytest.raises(RollbackError, match=r"version 1 does not await approval\. Those that do: 2"):
        _approve(machine("two"), 1)
    graph = "films/serving/.awaiting-2/saved_model.pb"
    bucket.put(graph, bucket.get(graph).upper())
    with pytest.raises(RollbackError, match=r"version 2 is damaged: saved_model\.pb"):
        _approve(machine("two"))
    assert RemoteVersions(f"{bucket.url}/films/serving").publish(str(model)) == 3
    with pytest.raises(RollbackError, match="version 3 is newer than 2"):
        _approve(machine("two"))
    assert _states(machine("two")) == {1: "published", 2: "awaiting approval", 3: "served"}


def test_newer_waiting_version_replaces_older_ones(machine: Machine, model: Path, bucket: Bucket) -> None:
    versions = RemoteVersions(f"{bucket.url}/films/serving", "films")
    assert versions.awaiting_if_same(str(model)) == 2
    (model / "saved_model.pb").write_text("another")
    assert versions.awaiting_if_same(str(model)) is None
    assert versions.publish(str(model), await_approval=True) == 3
    versions.supersede(3)
    assert (versions.awaiting(), versions.published()) == ([3], [1])


def test_every_moment_of_a_kill(machine: Machine, bucket: Bucket, proxy: FaultyProxy, model: Path) -> None:
    """The store refuses all changes from the n-th on, for each n. The same command then ends the approval."""
    seen, waiting = [], 2
    for number in itertools.count(1):
        refused, left = [False], itertools.count(1)

        def refuse(
            request: bytes, refused: list[bool] = refused, left: Iterator[int] = left, last: int = number
        ) -> bool:
            is_change = request.startswith(b"DELETE") or b"x-amz-copy-source" in request.lower() or _ends_write(request)
            refused[0] = refused[0] or (is_change and next(left) > last)
            return is_change and refused[0]

        proxy.refuse = refuse
        with contextlib.suppress(KindredError):
            _approve(machine("one"), waiting)
        proxy.refuse = lambda request: False
        versions = complete_versions(f"{bucket.url}/films/serving")
        assert max(map(int, versions)) in (waiting - 1, waiting), "a version is there as a whole or not at all"
        seen.append(str(waiting) in versions)
        _approve(machine("one"), waiting)
        root = machine("two")
        assert _states(root)[waiting] == "served", f"approved after {number} changes"
        summary = json.loads((root.runs / str(waiting) / "summary.json").read_text())
        assert (summary["status"], summary["published"]) == ("published", f"serving/{waiting}")
        assert RemoteVersions(f"{bucket.url}/films/serving").awaiting() == []
        if not refused[0]:
            break
        waiting += 1
        with (root := machine("one")).locked():
            _wait(root, RemoteVersions(root.place_of("serving"), "films"), model, waiting)
    assert seen == sorted(seen) and set(seen) == {False, True} and len(seen) > 8


def _ends_write(request: bytes) -> bool:
    """Returns whether an object exists after this request. PyArrow begins each object with another one."""
    line = request.split(b"\r\n")[0]
    return line.startswith(b"POST") and b"uploadId=" in line
