"""Scheduled runs on new spans, and retries of tasks after accidents."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e import planted
from tests.e2e.command import states
from tests.e2e.kubeflow.cluster import Volume, check_succeeded, metadata_service, new_run_id
from tests.e2e.kubeflow.interpreter import Interpreter


@pytest.fixture(scope="module")
def volume(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Volume]:
    folder = tmp_path_factory.mktemp("volume")
    with metadata_service(folder) as port:
        yield Volume(folder, {"grpc": {"host": "127.0.0.1", "port": port}})


@pytest.fixture(scope="module")
def nightly(volume: Volume) -> Interpreter:
    """A package whose data arrive in spans."""
    volume.write_pairs("data/span-1/pairs.csv", slice(0, 1500))
    return volume.package("nightly", "data/span-{SPAN}/*.csv")


def test_half_written_output_is_retried(volume: Volume, nightly: Interpreter) -> None:
    spoiled: list[Path] = []

    def spoil(seconds: float) -> None:
        """Simulates the files of a pod that died while writing: truncated and additional files."""
        graph = volume.root / "pipeline" / "Transform" / "transform_graph" / "7" / "transform_fn"
        graph.mkdir(parents=True, exist_ok=True)
        (graph / "saved_model.pb").write_bytes(b"half")
        for path in graph.parent.rglob("*"):
            if path.is_file():
                path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
                spoiled.append(path)

    nightly._sleep = spoil  # between the two attempts
    nightly.kill_once("Data", when="Going to run a new execution 7")
    run_id = new_run_id()
    result = nightly.run(run_id)
    check_succeeded(result)
    assert result["Data"].codes == [1, 0]
    assert spoiled
    found = volume.summary(run_id)
    assert (found["status"], found["data"]["left_entities"]) == ("published", planted.LEFT)
    assert found["metrics"]["rmse"] < found["metrics"]["baseline_rmse"] / 2


def test_scheduled_run_uses_latest_span(volume: Volume, nightly: Interpreter) -> None:
    unchanged = new_run_id()
    check_succeeded(nightly.run(unchanged))
    assert states(volume.summary(unchanged))["PairExampleGen"] == "cached"
    assert volume.published == ["1"]
    volume.write_pairs("data/span-2/pairs.csv", slice(100, 2000))
    new = new_run_id()
    check_succeeded(nightly.run(new))
    found = volume.summary(new)
    assert (found["data"]["rows"], found["published"]) == (1900, "serving/2")
    assert states(found)["Trainer"] == "executed"
    assert volume.published == ["1", "2"]


def test_run_accepts_earlier_span(volume: Volume, nightly: Interpreter) -> None:
    run_id = new_run_id()
    check_succeeded(nightly.run(run_id, {"span": "1"}))
    found = volume.summary(run_id)
    assert (found["data"]["rows"], found["status"]) == (1500, "published")


def test_killed_trainer_is_retried(volume: Volume, nightly: Interpreter) -> None:
    run_id = new_run_id()
    nightly.kill_once("Trainer", when="Going to run a new execution")
    result = nightly.run(run_id, {"train_seed": 2, "span": "2"})
    check_succeeded(result)
    assert result["Trainer"].codes == [1, 0]
    assert (states(volume.summary(run_id))["Trainer"], volume.summary(run_id)["status"]) == ("executed", "published")


def test_missing_metadata_service_fails_run(volume: Volume) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        nowhere = {"grpc": {"host": "127.0.0.1", "port": closed.getsockname()[1]}, "wait_seconds": 1}
        package = volume.package("nowhere", metadata=nowhere)
        run_id = new_run_id()
        result = package.run(run_id)
    assert result.state == "FAILED"
    assert (result["Data"].codes, result["RunReport"].state) == ([1, 1], "SUCCEEDED")
    assert {task.state for task in result.all("Refused")} == {"SKIPPED"}
    reason = "did not answer in 1 s"
    assert volume.summary(run_id)["status"] == "failed" and reason in volume.summary(run_id)["error"]
    assert reason in result["RunReport"].summary and reason in volume.report(run_id)


def test_run_with_lost_folder_ignores_old_executions(volume: Volume, nightly: Interpreter) -> None:
    run_id = new_run_id()
    check_succeeded(nightly.run(run_id, {"span": "2"}))
    kept = volume.root / "runs" / run_id
    kept.rename(kept.with_name("lost"))
    # Remove the run from Kubeflow's own storage too. Otherwise the interpreter would refuse its id.
    (volume.path / "kfp" / run_id).rename(volume.path / "kfp" / "lost")
    result = nightly.run(run_id, {"span": "1"})
    assert result.state == "FAILED"
    assert f"run id {run_id}: ML Metadata already has execution" in volume.summary(run_id)["error"]
    assert "which this run did not start; start a new run" in result["RunReport"].summary
