"""What tasks on Kubeflow exchange through the store of their root: records, artifacts, and a summary without a lock."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ml_metadata.proto import metadata_store_pb2
from tfx.orchestration.metadata import sqlite_metadata_connection_config
from tfx.orchestration.portable.data_types import ExecutionInfo
from tfx.proto.orchestration import execution_result_pb2
from tfx.types import standard_artifacts

from errors import RootError, StoreError, StoreUnavailable
from pipeline.config.sections.keep import Keep
from pipeline.kubeflow.cluster_run import ClusterRun
from pipeline.kubeflow.node_records import NodeRecord
from pipeline.kubeflow.retention import Busy, prune
from pipeline.kubeflow.staging import Staging
from pipeline.kubeflow.stored_metadata import StoredRootMetadata
from pipeline.kubeflow.stored_root import StoredRoot
from pipeline.records.root import Root
from pipeline.records.run_record import RunRecord
from pipeline.running.artifact_digests import DIGESTS_PROPERTY
from storage.cache import CACHE
from tests.object_store import Bucket, FaultyProxy, cut, error, truncated
from tests.unit.pipeline.running.test_pruning import Planted

pytestmark = pytest.mark.tensorflow
RUN_ID = "0b6d7a52-5a7b-4c0e-9a43-2f1f6f0c9b11"
NODES = ("PairExampleGen", "Trainer")


class Pods:
    """Pods with their own disks, and one root."""

    def __init__(self, folder: Path, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self._folder, self._url, self._monkeypatch = folder, url, monkeypatch

    def root(self, pod: str) -> Root:
        self._monkeypatch.setenv(CACHE, str(self._folder / pod))
        return Root.at(self._url, "films")

    def stored(self, pod: str) -> StoredRoot:
        found = StoredRoot.of(self.root(pod))
        assert found is not None
        return found

    def run(self, pod: str) -> ClusterRun:
        return ClusterRun(self.root(pod), RunRecord("films", RUN_ID, config={}), NODES)


@pytest.fixture
def pods(bucket: Bucket, proxy: FaultyProxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Pods:
    return Pods(tmp_path, f"{bucket.url}/films", monkeypatch)


def made(pods: Pods, pod: str, **files: str) -> tuple[StoredRoot, execution_result_pb2.ExecutorOutput]:
    """Returns what an executor returns that wrote the files of a model."""
    stored = pods.stored(pod)
    folder = stored.folder / "pipeline" / "Trainer" / "model" / "7"
    for name, text in files.items():
        (folder / "deep").mkdir(parents=True, exist_ok=True)
        (folder / "deep" / name).write_text(text)
    output = execution_result_pb2.ExecutorOutput()
    output.output_artifacts["model"].artifacts.add(uri=str(folder))
    return stored, output


def reader(pods: Pods, pod: str, output: execution_result_pb2.ExecutorOutput) -> tuple[Staging, ExecutionInfo]:
    """Returns the staging of another pod, and an execution that reads what `output` has."""
    stored = pods.stored(pod)
    (given,) = output.output_artifacts["model"].artifacts
    model = standard_artifacts.Model()
    model.uri = str(stored.folder / "pipeline" / "Trainer" / "model" / "7")
    model.mlmd_artifact.state = metadata_store_pb2.Artifact.LIVE
    model.set_string_custom_property(DIGESTS_PROPERTY, given.custom_properties[DIGESTS_PROPERTY].string_value)
    return Staging(stored), ExecutionInfo(input_dict={"model": [model]})


def test_artifact_reaches_another_pod(pods: Pods, bucket: Bucket, proxy: FaultyProxy) -> None:
    bucket.put("films/pipeline/Trainer/model/7/of-a-killed-pod", "half")
    stored, output = made(pods, "one", weights="1 2 3", vocabulary="é")
    assert Staging(stored).store_outputs(output) is output
    beginning = "films/pipeline/Trainer/model/7/"
    assert [key for key in bucket.keys(beginning) if not key.endswith("/")] == [
        f"{beginning}deep/vocabulary", f"{beginning}deep/weights"
    ]  # fmt: skip
    staging, execution = reader(pods, "two", output)
    staging.fetch_inputs(execution)
    (model,) = execution.input_dict["model"]
    assert Path(model.uri, "deep", "weights").read_text() == "1 2 3"
    before = len(proxy.requests)
    staging.fetch_inputs(execution)
    assert len(proxy.requests) == before, "once per task"


def test_failed_executor_stores_nothing(pods: Pods, bucket: Bucket) -> None:
    stored, output = made(pods, "one", weights="1")
    output.execution_result.code = 3
    Staging(stored).store_outputs(output)
    assert bucket.keys("films/") == []


def test_damaged_input_is_refused(pods: Pods, bucket: Bucket) -> None:
    stored, output = made(pods, "one", weights="1 2 3")
    Staging(stored).store_outputs(output)
    bucket.put("films/pipeline/Trainer/model/7/deep/weights", "1 2 4")
    staging, execution = reader(pods, "two", output)
    with pytest.raises(StoreError) as refused:
        staging.fetch_inputs(execution)
    assert str(refused.value).startswith(f"{bucket.url}/films/pipeline/Trainer/model/7/deep/weights: is missing in the")
    bucket.delete("films/pipeline/Trainer/model/7/deep/weights")
    with pytest.raises(StoreError, match="is missing in the store"):
        staging.fetch_inputs(execution)


@pytest.mark.parametrize(
    ("method", "fault"), [("PUT", cut), ("PUT", error(503, "SlowDown")), ("GET", cut), ("GET", truncated)]
)
def test_passing_fault_loses_nothing(
    pods: Pods, proxy: FaultyProxy, method: str, fault: Callable[[bytes], bytes]
) -> None:
    proxy.first(2, f"{method} /", fault)
    stored, output = made(pods, "one", weights="1 2 3" * 1000)
    Staging(stored).store_outputs(output)
    staging, execution = reader(pods, "two", output)
    staging.fetch_inputs(execution)
    assert Path(execution.input_dict["model"][0].uri, "deep", "weights").read_text() == "1 2 3" * 1000


def test_store_that_stays_away_fails_the_task(pods: Pods, proxy: FaultyProxy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("storage.faults.time.sleep", lambda seconds: None)
    stored, output = made(pods, "one", weights="1 2 3")
    proxy.fault = lambda request, answer: error(503, "SlowDown")(answer) if request.startswith(b"PUT") else None
    with pytest.raises(StoreUnavailable):
        Staging(stored).store_outputs(output)


def record(node_id: str, **found: Any) -> NodeRecord:
    return NodeRecord(node_id, "s", "executed", 1.0, 2.0, found=found)


def test_records_of_all_pods_are_merged(pods: Pods, bucket: Bucket) -> None:
    pods.run("one").note(record("PairExampleGen", data={"rows": 5}))
    second = pods.run("two")
    assert second.nodes["PairExampleGen"].found == {"data": {"rows": 5}}
    second.note(record("Trainer", warm_start={}))
    summary = json.loads(bucket.get(f"films/runs/{RUN_ID}/summary.json"))
    assert ([node["id"] for node in summary["components"]], summary["data"]) == ([*NODES], {"rows": 5})


def test_slower_of_two_writers_finds_the_record_of_the_other(
    pods: Pods, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other pod ends while this one writes summary.json, whose last content is that of this one."""
    mine, other = pods.run("one"), pods.run("two")
    write, happened = ClusterRun._update, []

    def update(run: ClusterRun, nodes: dict[str, NodeRecord]) -> None:
        if run is mine and not happened:
            happened.append(other.note(record("Trainer")))
        write(run, nodes)

    monkeypatch.setattr(ClusterRun, "_update", update)
    mine.note(record("PairExampleGen"))
    assert happened
    summary = json.loads(bucket.get(f"films/runs/{RUN_ID}/summary.json"))
    assert [node["id"] for node in summary["components"]] == [*NODES]


def test_root_of_local_runs_is_refused(pods: Pods, bucket: Bucket) -> None:
    stored = pods.stored("one")
    stored.check()
    bucket.put("films/state/00000001-abcdef/state.json", "{}")
    with pytest.raises(RootError, match="has runs of `kindred run`"):
        stored.check()


def test_local_run_refuses_the_root_of_tasks(pods: Pods) -> None:
    pods.run("one").note(record("PairExampleGen"))
    with pytest.raises(RootError, match="has runs of Kubeflow"), pods.root("laptop").locked():
        pass
    root = pods.root("laptop").fetch()
    assert [path.name for path in root.runs.iterdir()] == [RUN_ID], "commands that read can look at it"


def test_old_artifacts_are_removed_from_the_store(pods: Pods, bucket: Bucket, tmp_path: Path) -> None:
    planted = Planted(tmp_path / "made", 4)
    bucket.put_tree(planted.root.artifacts, "films/pipeline")
    bucket.put_tree(planted.root.runs, "films/runs")
    artifacts = planted.store.get_artifacts()
    for artifact in artifacts:
        artifact.uri = artifact.uri.replace(str(planted.root.path), f"{bucket.url}/films")
    planted.store.put_artifacts(artifacts)
    root = pods.root("exit")
    connection = sqlite_metadata_connection_config(str(planted.root.metadata))
    removed = prune(root, Keep(runs=2), StoredRootMetadata(connection, root.path, f"{bucket.url}/films"))
    assert removed.counts == {"artifacts": 2, "old reports and logs": 4}
    assert removed.size == 2 * (1000 + len("report") + len("log"))
    files = [key for key in bucket.keys("films/pipeline/") if not key.endswith("/")]
    assert files == [f"films/pipeline/Trainer/model/{number}/weights" for number in (3, 4)]
    assert [key for key in bucket.keys("films/runs/") if key.endswith("report.html")] == [
        f"films/runs/{number}/report.html" for number in (3, 4)
    ]
    assert len([key for key in bucket.keys("films/runs/") if key.endswith("summary.json")]) == 4
    assert planted.live() == [3, 4]
    bucket.put("films/runs/9/tasks/Trainer.json", "{}")
    with pytest.raises(Busy, match="run 9 is in progress"):
        prune(root, Keep(runs=1), StoredRootMetadata(connection, root.path, f"{bucket.url}/films"))
    assert planted.live() == [3, 4]
