"""Runs the compiled package without a cluster: tasks are processes, and ML Metadata is a separate service."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e import planted
from tests.e2e.command import kindred, last_summary, states
from tests.e2e.kubeflow.cluster import Volume, check_succeeded, metadata_service, new_run_id
from tests.e2e.kubeflow.interpreter import Interpreter
from tests.e2e.test_planted_run import ALWAYS_EXECUTED

RUNS = {name: new_run_id() for name in ("first", "second", "again", "data", "model", "parameter", "apart")}


@pytest.fixture(scope="module")
def volume(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Volume]:
    folder = tmp_path_factory.mktemp("volume")
    with metadata_service(folder) as port:
        yield Volume(folder, {"grpc": {"host": "127.0.0.1", "port": port}})


@pytest.fixture(scope="module")
def package(volume: Volume) -> Interpreter:
    return volume.package()


def test_first_run_survives_killed_pod(volume: Volume, package: Interpreter) -> None:
    package.kill_once("Data", when="Going to run a new execution 7")
    result = package.run(RUNS["first"], cold=("Data",))
    check_succeeded(result)
    assert result["Data"].codes == [1, 0]
    assert result["Data"].log.count('"id": "PairExampleGen"') == 2
    found = volume.summary(RUNS["first"])
    assert found["status"] == "published" and found["blessed"] is True
    assert set(states(found).values()) == {"executed"} and len(states(found)) == 13
    assert volume.published == ["1"]
    assert "rmse better than constant-mean baseline" in result["EvaluateAndPush"].summary
    assert "| rmse |" in result["EvaluateAndPush"].summary
    assert {task.state for task in result.all("Refused")} == {"SKIPPED"}
    assert result["RunReport"].recorded["metrics"].properties == found["metrics"]
    assert result["Data"].recorded["dataset"].properties["rows"] == 2165
    classes = result["EvaluateAndPush"].recorded["classes"]
    assert classes.kind == "system.ClassificationMetrics"
    assert classes.properties["confidenceMetrics"][-1]["recall"] == 1
    cells = [row["row"] for row in classes.properties["confusionMatrix"]["rows"]]
    assert sum(map(sum, cells)) == found["data"]["splits"]["eval"]
    assert (cells[0][0] + cells[1][1]) / sum(map(sum, cells)) == pytest.approx(found["metrics"]["sign_accuracy"])
    assert result["EvaluateAndPush"].recorded["model"].properties["location"] == str(volume.root / "serving" / "1")
    assert (volume.root / "serving" / "1" / "assets.extra" / "model_card.md").is_file()


def test_exit_task_outputs_report_and_record(volume: Volume, package: Interpreter) -> None:
    outputs = volume.path / "kfp" / RUNS["first"] / "runreport"
    shown = (outputs / "report").read_text(encoding="utf-8")
    assert "The model is published as serving/1." in shown and "map-data" in shown
    assert shown == volume.report(RUNS["first"])
    assert json.loads((outputs / "record").read_text(encoding="utf-8")) == volume.summary(RUNS["first"])


def test_second_run_with_other_data_publishes_their_model(volume: Volume, package: Interpreter) -> None:
    data = volume.write_pairs("more.csv", slice(0, 1800))
    result = package.run(RUNS["second"], {"data_path": str(data)})
    check_succeeded(result)
    first, second = volume.summary(RUNS["first"]), volume.summary(RUNS["second"])
    assert (first["data"]["rows"], second["data"]["rows"]) == (2165, 1800)
    assert second["started"] > first["started"]
    assert (second["status"], second["published"]) == ("published", "serving/2")
    assert {states(second)[node] for node in ("PairExampleGen", "Transform", "Trainer", "Evaluator")} == {"executed"}
    assert volume.published == ["1", "2"]


def test_same_parameters_use_cache(volume: Volume, package: Interpreter) -> None:
    result = package.run(RUNS["again"], {"data_path": str(volume.path / "more.csv")})
    check_succeeded(result)
    found = volume.summary(RUNS["again"])
    assert states(found) == dict.fromkeys(states(found), "cached") | ALWAYS_EXECUTED
    for field in ("status", "published", "metrics", "blessing", "data"):
        assert found[field] == volume.summary(RUNS["second"])[field], field
    assert volume.published == ["1", "2"]


def test_refused_gate_fails_run_once(volume: Volume, package: Interpreter) -> None:
    result = package.run(RUNS["data"], {"data_path": str(volume.write_pairs("new.csv", prefix="new "))})
    assert result.state == "FAILED"
    reason = "left_id: 100.0% of the pairs"
    assert (result["Data"].state, result["Data"].codes) == ("SUCCEEDED", [0])
    assert result["Data"].log.count(reason) == 1
    assert "`kindred submit --set accept_anomalies=REASON`" in result["Data"].log
    refused, skipped = sorted(result.all("Refused"), key=lambda task: task.state)
    assert (refused.codes, refused.waits, skipped.state) == ([1], [], "SKIPPED")
    assert reason in refused.log
    assert {result[name].state for name in ("Trainer", "EvaluateAndPush")} == {"SKIPPED"}
    found = volume.summary(RUNS["data"])
    assert found["status"] == "data_refused" and reason in found["error"]
    assert list(states(found).items())[-1] == ("DataGate", "failed")
    assert reason in result["RunReport"].summary
    assert "The data was refused before training." in result["RunReport"].artifacts["report"].read_text()
    assert volume.published == ["1", "2"]


def test_changed_hyperparameter_retrains_and_refused_model_stays_unpublished(
    volume: Volume, package: Interpreter
) -> None:
    settings = {"train_epochs": 1, "train_learning_rate": 1e-5, "train_early_stopping_patience": 1}
    result = package.run(RUNS["model"], {"data_path": str(volume.path / "more.csv"), **settings})
    assert result.state == "FAILED"
    found = volume.summary(RUNS["model"])
    assert found["config"]["train"]["learning_rate"] == 1e-5
    assert found["status"] == "model_refused" and found["published"] is None
    assert states(found)["Trainer"] == "executed" and states(found)["Transform"] == "cached"
    assert states(found)["Pusher"] == "skipped"
    assert {name: task.codes for name in ("Data", "Trainer", "EvaluateAndPush") for task in [result[name]]} == {
        "Data": [0], "Trainer": [0], "EvaluateAndPush": [0]
    }  # fmt: skip
    assert [task.codes for task in result.all("Refused")] in ([[], [1]], [[1], []])
    assert "the model is not blessed" in result["EvaluateAndPush"].log
    assert "the model is not blessed" in result["RunReport"].summary
    assert "open the output `report` of the task RunReport" in result["EvaluateAndPush"].log
    assert result["EvaluateAndPush"].recorded["model"].properties["status"] == "model_refused"
    assert "location" not in result["EvaluateAndPush"].recorded["model"].properties
    assert volume.published == ["1", "2"]


def test_invalid_parameter_fails_run_with_reason(volume: Volume, package: Interpreter) -> None:
    result = package.run(RUNS["parameter"], {"model_dimension": 0})
    assert result.state == "FAILED"
    reason = "run parameters: model.dimension: must be greater than 0 (got 0)"
    assert result["Data"].codes == [0] and reason in result["Data"].log
    assert any(reason in task.log for task in result.all("Refused"))
    found = volume.summary(RUNS["parameter"])
    assert found["status"] == "failed" and found["error"].startswith(reason)
    assert reason in result["RunReport"].summary


def test_ungrouped_nodes_run_in_parallel(volume: Volume) -> None:
    apart = volume.package("apart", group="none")
    result = apart.run(RUNS["apart"], {"data_path": str(volume.path / "more.csv")})
    check_succeeded(result)
    first, second = result["ImportSchemaGen"], result["PairExampleGen"]
    assert max(first.began, second.began) < min(first.ended, second.ended)
    found = volume.summary(RUNS["apart"])
    assert {*states(found)} <= {task.name for task in result.tasks}
    assert states(found) == dict.fromkeys(states(found), "cached") | ALWAYS_EXECUTED


def test_published_model_equals_local_run(volume: Volume, package: Interpreter) -> None:
    done = kindred("run", "--config", volume.path / "package.yaml", "--root", volume.path / "local")
    assert done.returncode == 0, done.stderr
    local, cluster = last_summary(volume.path / "local"), volume.summary(RUNS["first"])
    assert local["metrics"] == pytest.approx(cluster["metrics"], rel=1e-6)
    scores = [
        kindred("score", "--model", path, planted.left_id(3), planted.right_id(7)).stdout
        for path in (volume.path / "local" / "serving", volume.root / "serving" / "1")
    ]
    assert scores[0] == scores[1]
    assert "similar" in scores[0]


def test_no_half_written_file_stays(volume: Volume, package: Interpreter) -> None:
    left = [path for path in Path(volume.root / "runs").rglob("*") if "staged" in path.name]
    assert left == []
