"""The compiled package, run with no cluster: tasks as processes, ML Metadata as a service of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import planted
from tests.e2e.command import kindred, last_summary, states
from tests.e2e.kubeflow.interpreter import Interpreter, TaskRun
from tests.e2e.test_planted_run import ALWAYS_EXECUTED


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The volume that all tasks mount, with the planted data."""
    folder = tmp_path_factory.mktemp("volume")
    planted.write_pipeline(folder)
    return folder


@pytest.fixture(scope="module")
def service(place: Path) -> Iterator[int]:
    """ML Metadata as deploy/kubeflow runs it, on SQLite; its port."""
    command = [sys.executable, "-m", "pipeline.kubeflow.metadata_service", "--host", "127.0.0.1", "--port", "0"]
    process = subprocess.Popen([*command, "--sqlite", place / "mlmd.sqlite"], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    yield int(process.stdout.readline().split()[-1])
    process.terminate()
    assert process.wait(20) == 0


@pytest.fixture(scope="module")
def package(place: Path, service: int) -> Interpreter:
    """The package of the planted pipeline, compiled by the command."""
    kubeflow = {
        "volumes": [{"claim": "kindred", "mount": str(place)}],
        "metadata": {"grpc": {"host": "127.0.0.1", "port": service}},
        "task": {"retries": 1},
    }
    config = place / "pipeline.yaml"
    config.write_text(config.read_text() + f"kubeflow: {json.dumps(kubeflow)}\n")
    done = kindred("compile", "--config", config, "--output", place / "package.yaml")
    assert done.returncode == 0, done.stderr
    return Interpreter((place / "package.yaml").read_text(), place / "kfp")


def summary(place: Path, run_id: str) -> dict[str, Any]:
    return json.loads((place / "planted" / "runs" / run_id / "summary.json").read_text(encoding="utf-8"))


def ended(tasks: dict[str, TaskRun]) -> dict[str, str]:
    return {name: task.state for name, task in tasks.items()}


def test_first_run_publishes_although_a_task_is_killed(place: Path, package: Interpreter) -> None:
    package.kill_once("transform")
    tasks = package.run("run-1", cold=("pairexamplegen",))
    assert ended(tasks) == dict.fromkeys(tasks, "SUCCEEDED"), "\n".join(task.said[-3000:] for task in tasks.values())
    assert tasks["Transform"].codes == [-9, 0]
    assert {task.codes[-1] for task in tasks.values()} == {0}
    found = summary(place, "run-1")
    assert found["status"] == "published" and found["blessed"] is True
    assert states(found) == dict.fromkeys(tasks, "executed")
    assert sorted(path.name for path in (place / "planted" / "serving").iterdir()) == ["1"]
    assert "rmse better than constant-mean baseline" in tasks["Evaluator"].summary
    assert "| rmse |" in tasks["Evaluator"].summary
    shown = (place / "kfp" / "run-1" / "pusher" / "report").read_text(encoding="utf-8")
    assert "The model is published as serving/1." in shown and "map-data" in shown
    assert shown == (place / "planted" / "runs" / "run-1" / "report.html").read_text(encoding="utf-8")
    assert (place / "planted" / "serving" / "1" / "assets.extra" / "model_card.md").is_file()


def test_second_run_comes_from_cache(place: Path, package: Interpreter) -> None:
    tasks = package.run("run-2")
    assert ended(tasks) == dict.fromkeys(tasks, "SUCCEEDED")
    assert states(summary(place, "run-2")) == dict.fromkeys(tasks, "cached") | ALWAYS_EXECUTED
    for field in ("status", "published", "metrics", "blessing", "data"):
        assert summary(place, "run-2")[field] == summary(place, "run-1")[field], field


def test_a_refused_gate_fails_its_task_and_stops_what_follows(place: Path, package: Interpreter) -> None:
    header, *rows = (place / "pairs.csv").read_text(encoding="utf-8").splitlines()
    (place / "new.csv").write_text("\n".join([header, *(f"new {row}" for row in rows)]) + "\n", encoding="utf-8")
    tasks = package.run("run-3", {"data_path": str(place / "new.csv")})
    assert tasks["DataGate"].codes == [3, 3]
    assert "left_id: 100.0% of the pairs" in tasks["DataGate"].said
    assert {name for name, task in tasks.items() if task.state == "SKIPPED"} == package.after("DataGate")
    assert {name for name, task in tasks.items() if task.state == "FAILED"} == {"DataGate"}
    assert summary(place, "run-3")["status"] == "data_refused"
    told = (place / "planted" / "runs" / "run-3" / "report.html").read_text(encoding="utf-8")
    assert "The data were refused; nothing was trained." in told


def test_a_hyperparameter_of_the_run_trains_anew_and_a_refused_model_is_not_published(
    place: Path, package: Interpreter
) -> None:
    tasks = package.run("run-4", {"train_epochs": 1, "train_learning_rate": 1e-5, "train_early_stopping_patience": 1})
    assert summary(place, "run-4")["config"]["train"]["learning_rate"] == 1e-5
    assert tasks["Evaluator"].codes == [4, 4]
    assert tasks["Pusher"].state == "SKIPPED"
    assert "the model is not blessed" in tasks["Evaluator"].said
    found = summary(place, "run-4")
    assert found["status"] == "model_refused" and found["published"] is None
    assert states(found)["Trainer"] == "executed" and states(found)["Transform"] == "cached"
    assert sorted(path.name for path in (place / "planted" / "serving").iterdir()) == ["1"]


def test_a_parameter_that_breaks_a_rule_fails_the_first_task_with_its_reason(package: Interpreter) -> None:
    tasks = package.run("run-5", {"model_dimension": 0})
    first = tasks["PairExampleGen"]
    assert first.codes == [2, 2]
    assert first.said.startswith("error: run parameters: model.dimension: must be greater than 0 (got 0)\n")
    assert {task.state for task in tasks.values()} == {"FAILED", "SKIPPED"}


def test_independent_tasks_run_at_the_same_time(package: Interpreter) -> None:
    tasks = package.run("run-6")
    first, second = tasks["ImportSchemaGen"], tasks["PairExampleGen"]
    assert max(first.began, second.began) < min(first.ended, second.ended)


def test_the_published_model_is_the_one_of_a_local_run(place: Path) -> None:
    done = kindred("run", "--config", place / "pipeline.yaml", "--root", place / "local")
    assert done.returncode == 0, done.stderr
    local, cluster = last_summary(place / "local"), summary(place, "run-1")
    assert local["metrics"] == pytest.approx(cluster["metrics"], rel=1e-6)
    scores = [
        kindred("score", "--model", place / root / "serving", planted.left_id(3), planted.right_id(7)).stdout
        for root in ("local", "planted")
    ]
    assert scores[0] == scores[1]
    assert "similar" in scores[0]
