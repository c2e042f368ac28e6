"""A package whose root is in an object store: no volume, an empty disk for each task, and a real S3 server.

The tests run in this order, on moto, and on versitygw where it is installed.
"""

from __future__ import annotations

import dataclasses
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ml_metadata as mlmd
import pyarrow.fs
import pytest
import yaml
from ml_metadata.proto import metadata_store_pb2

from pipeline.config.sections.kubeflow import Grpc, Metadata
from pipeline.kubeflow.metadata import connection
from tests.e2e import planted
from tests.e2e.command import kindred, last_summary, states
from tests.e2e.kubeflow.cluster import check_succeeded, metadata_service, new_run_id
from tests.e2e.kubeflow.interpreter import Interpreter, RunResult
from tests.e2e.test_planted_run import ALWAYS_EXECUTED
from tests.object_store import CREDENTIALS, FaultyProxy, s3_server, versitygw

RUNS = {name: new_run_id() for name in ("first", "second", "third", "refused")}
_LIVE = metadata_store_pb2.Artifact.LIVE
DATA, ROOT = "planted/data/pairs.csv", "planted/films"


@dataclasses.dataclass
class Cluster:
    """A store and a service of ML Metadata, and nothing else that pods share."""

    folder: Path
    proxy: FaultyProxy
    files: pyarrow.fs.S3FileSystem
    port: int

    @property
    def package(self) -> Interpreter:
        """The package, whose tasks reach the store with the variables of a secret."""
        section = {
            "root": f"s3://{ROOT}",
            "metadata": {"grpc": {"host": "127.0.0.1", "port": self.port}},
            "task": {"retries": 1},
            "secrets": [{"name": "store", "env": {"secret": "AWS_SECRET_ACCESS_KEY"}}],
        }
        tree = yaml.safe_load(planted.PIPELINE)
        tree["data"]["path"] = f"s3://{DATA}"
        tree["train"]["warm_start"] = True
        tree["keep"] = {"runs": 1}
        config, package = self.folder / "pipeline.yaml", self.folder / "package.yaml"
        config.write_text(yaml.safe_dump({**tree, "kubeflow": section}), encoding="utf-8")
        done = kindred("compile", "--config", config, "--output", package)
        assert done.returncode == 0, done.stderr
        variables = {**CREDENTIALS, "AWS_ENDPOINT_URL": self.proxy.endpoint, "AWS_REGION": "us-east-1"}
        return Interpreter(package.read_text(), self.folder / "kfp", variables, release="2.16", sleep=self.look)

    def look(self, seconds: float) -> None:
        """Between two attempts, servers see no version, because none is complete."""
        assert self.keys("serving/1/saved_model.pb") == []

    def keys(self, below: str) -> list[str]:
        """Returns the objects below a name, read without the code under test."""
        selector = pyarrow.fs.FileSelector(ROOT, recursive=True, allow_not_found=True)
        files = [info.path for info in self.files.get_file_info(selector) if info.type == pyarrow.fs.FileType.File]
        return sorted(path.removeprefix(f"{ROOT}/") for path in files if path.startswith(f"{ROOT}/{below}"))

    def get(self, key: str) -> bytes:
        with self.files.open_input_stream(f"{ROOT}/{key}") as stream:
            return bytes(stream.read())

    def put_pairs(self, seed: int) -> None:
        planted.write_pairs(self.folder / "pairs.csv", seed)
        with self.files.open_output_stream(DATA) as stream:
            stream.write((self.folder / "pairs.csv").read_bytes())

    def summary(self, run: str) -> dict[str, Any]:
        return json.loads(self.get(f"runs/{RUNS[run]}/summary.json"))

    @property
    def published(self) -> list[str]:
        """The numbers that TensorFlow Serving would serve: those with a graph."""
        marks = [key.split("/") for key in self.keys("serving/") if key.endswith("/saved_model.pb")]
        return [number for _, number, _ in marks if number.isdecimal()]

    def kill_at(self, number: int, below: str) -> threading.Event:
        """Returns an event: the write of so many objects below a name. The store does not get the last one."""
        happened, lock, seen = threading.Event(), threading.Lock(), [0]

        def refuse(request: bytes) -> bool:
            line = request.split(b"\r\n")[0]
            if not happened.is_set() and line.startswith((b"PUT", b"POST")) and f"/{below}".encode() in line:
                with lock:
                    seen[0] += 1
                if seen[0] >= number:
                    happened.set()
            if happened.is_set() and not stalled.is_set():
                stalled.set()
                time.sleep(2)
                return True
            return False

        stalled = threading.Event()
        self.proxy.refuse = refuse
        return happened


@pytest.fixture(scope="module", params=[s3_server, versitygw], ids=["moto", "versitygw"])
def cluster(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp("store")
    with request.param() as endpoint, metadata_service(folder) as port:
        scheme, _, address = endpoint.partition("://")
        files = pyarrow.fs.S3FileSystem(
            access_key=CREDENTIALS["AWS_ACCESS_KEY_ID"],
            secret_key=CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
            region="us-east-1", scheme=scheme, endpoint_override=address, allow_bucket_creation=True,
        )  # fmt: skip
        files.create_dir("planted")
        proxy = FaultyProxy(endpoint)
        found = Cluster(folder, proxy, files, port)
        found.put_pairs(seed=7)
        yield found
        proxy.close()


@pytest.fixture(scope="module")
def package(cluster: Cluster) -> Interpreter:
    return cluster.package


def run(cluster: Cluster, package: Interpreter, name: str, **parameters: object) -> RunResult:
    return package.run(RUNS[name], parameters)


def test_package_has_no_volume_and_no_credentials(cluster: Cluster, package: Interpreter) -> None:
    text = (cluster.folder / "package.yaml").read_text(encoding="utf-8")
    _, platform = yaml.safe_load_all(text)
    executors = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    assert not any("pvcMount" in executor for executor in executors.values())
    assert all(executor["secretAsEnv"][0]["secretName"] == "store" for executor in executors.values())
    assert not any(
        secret in text for secret in (*CREDENTIALS.values(), "/kindred/") if secret not in ("true", "/dev/null")
    )


def test_first_run_survives_a_pod_that_is_killed_during_its_upload(cluster: Cluster, package: Interpreter) -> None:
    package.kill_once("Trainer", when=cluster.kill_at(2, "films/pipeline/Trainer/"))
    result = run(cluster, package, "first")
    check_succeeded(result)
    assert {name: result[name].codes for name in ("Data", "Trainer", "EvaluateAndPush", "RunReport")} == {
        "Data": [0], "Trainer": [1, 0], "EvaluateAndPush": [0], "RunReport": [0]
    }  # fmt: skip
    found = cluster.summary("first")
    assert (found["status"], found["published"]) == ("published", "serving/1"), found["error"]
    assert set(states(found).values()) == {"executed"}
    assert cluster.published == ["1"]
    assert result["EvaluateAndPush"].recorded["model"].properties["location"] == f"s3://{ROOT}/serving/1"
    assert result["Data"].recorded["dataset"].properties["location"] == f"s3://{DATA}"
    report = cluster.get(f"runs/{RUNS['first']}/report.html").decode()
    assert report == result["RunReport"].artifacts["report"].read_text(encoding="utf-8")
    assert "The model is published as serving/1." in report and "map-data" in report
    assert b'kindred_run_exit_code{pipeline="planted"} 0' in cluster.get("runs/metrics.prom")


def _store(cluster: Cluster) -> mlmd.MetadataStore:
    return mlmd.MetadataStore(connection(Metadata(grpc=Grpc(host="127.0.0.1", port=cluster.port))))


def _artifacts(cluster: Cluster) -> list[metadata_store_pb2.Artifact]:
    return list(_store(cluster).get_artifacts())


def _digests(artifact: metadata_store_pb2.Artifact) -> dict[str, str]:
    return dict(json.loads(artifact.custom_properties["file_digests"].string_value))


def test_metadata_has_urls_and_the_store_has_what_they_name(cluster: Cluster) -> None:
    store, artifacts = _store(cluster), _artifacts(cluster)
    assert all(artifact.uri.startswith(f"s3://{ROOT}/pipeline/") for artifact in artifacts)
    assert not any("/pod-" in str(found) for found in (*artifacts, *store.get_executions()))
    for artifact in artifacts:
        name = artifact.uri.removeprefix(f"s3://{ROOT}/")
        digests = _digests(artifact)
        stored = {key.removeprefix(f"{name}/") for key in cluster.keys(f"{name}/") if not key.endswith("/")}
        assert stored == set(digests), "the killed attempt left nothing else"


def test_published_model_equals_that_of_a_local_run(cluster: Cluster) -> None:
    folder = cluster.folder
    done = kindred(
        "run", "--config", folder / "pipeline.yaml", "--data", folder / "pairs.csv", "--root", folder / "local"
    )
    assert done.returncode == 0, done.stderr
    assert last_summary(folder / "local")["metrics"] == cluster.summary("first")["metrics"]
    for key in cluster.keys("serving/1/"):
        file = folder / "remote" / key.removeprefix("serving/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(cluster.get(key))
    pairs = folder / "asked.csv"
    asked = [f"{planted.left_id(i)},{planted.right_id(j)}" for i in range(planted.LEFT) for j in range(planted.RIGHT)]
    pairs.write_text("\n".join(["left_id,right_id", *asked]) + "\n", encoding="utf-8")
    scores = []
    for model in (folder / "local" / "serving", folder / "remote"):
        out = model.parent / f"{model.name}-scores.csv"
        done = kindred("score", "--model", model, "--input", pairs, "--output", out)
        assert done.returncode == 0, done.stderr
        scores.append(out.read_text(encoding="utf-8"))
    assert scores[0] == scores[1] and scores[0].count("\n") > planted.LEFT * planted.RIGHT


def test_second_run_is_cached(cluster: Cluster, package: Interpreter) -> None:
    check_succeeded(run(cluster, package, "second"))
    found = cluster.summary("second")
    assert {node for node, state in states(found).items() if state != "cached"} <= {*ALWAYS_EXECUTED, "BaseModel"}
    for field in ("status", "published", "metrics", "blessing", "data"):
        assert found[field] == cluster.summary("first")[field], field
    assert cluster.published == ["1"]


def test_third_run_with_changed_data_starts_warm(cluster: Cluster, package: Interpreter) -> None:
    cluster.put_pairs(seed=8)
    package.kill_once("EvaluateAndPush", when=cluster.kill_at(3, "films/serving/"))
    between: list[list[str]] = []
    package._sleep = lambda seconds: between.append(cluster.published)
    result = run(cluster, package, "third")
    check_succeeded(result)
    assert (result["EvaluateAndPush"].codes, between) == ([1, 0], [["1"]]), "killed while it published"
    found = cluster.summary("third")
    assert (found["status"], found["published"]) == ("published", "serving/2")
    assert found["warm_start"]["left"]["kept"] == planted.LEFT
    assert found["warm_start"]["base_model"].startswith(f"s3://{ROOT}/pipeline/Trainer/model/")
    assert cluster.published == ["1", "2"]
    assert "Removed of older runs: " in result["RunReport"].log, result["RunReport"].log
    live = [artifact for artifact in _artifacts(cluster) if artifact.state == _LIVE]
    kept = {artifact.uri.removeprefix(f"s3://{ROOT}/") for artifact in live if _digests(artifact)}
    assert {"/".join(key.split("/")[:4]) for key in cluster.keys("pipeline/")} == kept


def test_refusal_has_its_reason_in_the_store(cluster: Cluster, package: Interpreter) -> None:
    result = run(cluster, package, "refused", model_dimension=0)
    assert result.state == "FAILED"
    reason = "run parameters: model.dimension: must be greater than 0 (got 0)"
    assert [task.codes for task in result.all("Refused")] in ([[], [1]], [[1], []])
    assert any(reason in task.log for task in result.all("Refused"))
    assert cluster.summary("refused")["error"].startswith(reason)


def test_local_commands_read_the_root_and_local_runs_refuse_it(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    variables = {**CREDENTIALS, "AWS_ENDPOINT_URL": cluster.proxy.endpoint, "AWS_REGION": "us-east-1"}
    for name, value in {**variables, "KINDRED_CACHE": str(cluster.folder / "cache")}.items():
        monkeypatch.setenv(name, value)
    listed = json.loads(kindred("runs", "--root", f"s3://{ROOT}", "--json").stdout)
    assert {run["run_id"] for run in listed} == set(RUNS.values())
    config, data = cluster.folder / "pipeline.yaml", cluster.folder / "pairs.csv"
    refused = kindred("run", "--config", config, "--data", data, "--root", f"s3://{ROOT}")
    assert (refused.returncode, "has runs of Kubeflow" in refused.stderr) == (2, True), refused.stderr
