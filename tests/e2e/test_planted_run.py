"""One root through its life: first run, cached run, changed hyperparameter, refusal. The tests run in this order."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pytest
from tensorflow_model_analysis.api.model_eval_lib import load_eval_result, load_validation_result

from tests.e2e import planted
from tests.e2e.command import kindred, last_summary, states
from tests.integration.model_server import running

NODES = [
    "ImportSchemaGen",
    "PairExampleGen",
    "StatisticsGen",
    "ExampleValidator",
    "LastAcceptedData",
    "DataGate",
    "Transform",
    "Trainer",
    "LatestBlessedModel",
    "Evaluator",
    "ModelCard",
    "ServingCanary",
    "Pusher",
]
# TFX runs resolvers every time, because they only query metadata.
ALWAYS_EXECUTED = {"LastAcceptedData": "executed", "LatestBlessedModel": "executed"}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the planted data and their pipeline file."""
    folder = tmp_path_factory.mktemp("planted")
    planted.write_pipeline(folder)
    return folder


def run(place: Path, *arguments: object) -> tuple[int, str]:
    done = kindred("run", "--config", place / "pipeline.yaml", "--root", place / "root", *arguments)
    return done.returncode, done.stderr


def published(place: Path) -> list[str]:
    return sorted(os.listdir(place / "root" / "serving"))


def test_first_run_executes_everything_and_publishes(place: Path) -> None:
    code, output = run(place)
    assert code == 0, output
    summary = last_summary(place / "root")
    assert states(summary) == dict.fromkeys(NODES, "executed")
    assert summary["status"] == "published"
    assert summary["blessed"] is True
    assert summary["published"] == "serving/1"
    assert published(place) == ["1"]
    rows = sum(1 for _ in (place / "pairs.csv").open(encoding="utf-8")) - 1
    assert summary["data"]["rows"] == rows == sum(summary["data"]["splits"].values()) + 1
    assert summary["data"]["quarantined"] == 1
    assert "warnings" not in summary["data"]
    assert (summary["data"]["left_entities"], summary["data"]["right_entities"]) == (planted.LEFT, planted.RIGHT)
    # The noise is the floor, the spread of the group means the ceiling.
    assert planted.NOISE * 0.8 < summary["metrics"]["rmse"] < 0.3
    assert summary["metrics"]["baseline_rmse"] == pytest.approx(1.3, abs=0.1)
    assert summary["metrics"]["sign_accuracy"] > 0.95 < summary["metrics"]["auc"]
    assert summary["metrics"]["baseline_auc"] == 0.5
    assert [rule["ok"] for rule in summary["blessing"]] == [True, True]
    assert summary["config"]["train"]["epochs"] == 60


def test_record_has_documented_fields(place: Path) -> None:
    summary = last_summary(place / "root")
    contract = {
        "pipeline", "run_id", "status", "config", "started", "seconds", "components", "data", "metrics", "blessed",
        "blessing", "evaluation", "published", "versions",
    }  # fmt: skip
    assert set(summary) == contract
    assert set(summary["components"][0]) == {"id", "state", "seconds"}
    assert set(summary["blessing"][0]) == {"rule", "value", "bound", "ok", "interval"}
    assert (place / "root" / "runs" / summary["run_id"] / "run.log").stat().st_size > 0


def test_run_writes_report_and_model_card(place: Path) -> None:
    summary = last_summary(place / "root")
    report = place / "root" / "runs" / summary["run_id"] / "report.html"
    text = report.read_text(encoding="utf-8")
    assert "The model is published as serving/1." in text
    assert 'class="nothing"' in text and text.count('class="nothing"') == 1, (
        "all but rankings, which were not requested"
    )
    assert "score is not a number" in text and "left 00,right-00 é,a lot" in text
    assert kindred("report", "--root", place / "root").stdout.strip() == str(report)
    card = (place / "root" / "serving" / "1" / "assets.extra" / "model_card.md").read_text(encoding="utf-8")
    assert f"| rmse | {summary['metrics']['rmse']:.4f} |" in card and "Not blessed" not in card
    assert f"runs/{summary['run_id']}/report.html" in (place / "root" / "index.html").read_text(encoding="utf-8")
    metrics = (place / "root" / "runs" / "metrics.prom").read_text(encoding="utf-8")
    assert 'kindred_component_duration_seconds{pipeline="planted",component="Trainer"}' in metrics
    assert f"{planted.LEFT} left, {planted.RIGHT} right" in card and "1 quarantined as bad" in card


def test_tfma_reads_figures_of_run(place: Path) -> None:
    summary = last_summary(place / "root")
    evaluation = place / "root" / summary["evaluation"]
    read = {slice_: found[""][""] for slice_, found in load_eval_result(str(evaluation)).slicing_metrics}
    overall = {metric: _value(value) for metric, value in read[()].items()}
    assert overall.items() >= {k: v for k, v in summary["metrics"].items() if not k.startswith("baseline_")}.items()
    # Every figure of the Evaluator's own file, and no other.
    verdict = json.loads((evaluation / "evaluation.json").read_text(encoding="utf-8"))
    own = {(f["slice"], f["metric"]): f["value"] for f in verdict["figures"] if f["value"] is not None}
    assert len({slice_ for slice_, _ in own}) > 5
    assert {
        (dict(slice_).get("slice", ""), metric): _value(value)
        for slice_, metrics in read.items()
        for metric, value in metrics.items()
    } == own
    validation = load_validation_result(str(evaluation))
    assert validation.validation_ok and not validation.metric_validations_per_slice


def _value(value: dict) -> float:
    """Returns the value of a metric of TFMA, with or without an interval."""
    return value["boundedValue"]["value"] if "boundedValue" in value else value["doubleValue"]


def test_lineage_names_inputs_and_publication(place: Path) -> None:
    summary = last_summary(place / "root")
    found = json.loads(kindred("lineage", "--root", place / "root", "--json").stdout)
    digest = hashlib.sha256((place / "pairs.csv").read_bytes()).hexdigest()
    (file,) = found["data"]["files"]
    assert file == {
        "path": str(place / "pairs.csv"), "bytes": (place / "pairs.csv").stat().st_size, "digest": f"sha256:{digest}"
    }  # fmt: skip
    assert found["run"] == found["data"]["made_in"] == summary["run_id"]
    assert found["data"]["rows"] == {"read": 2164, **summary["data"]["splits"]} and found["data"]["span"] is None
    assert found["model"]["settings"]["train"]["epochs"] == 60 and len(found["model"]["code"]) == 16
    assert (found["published"], found["parent"]) == (["serving/1"], None)
    tree = kindred("lineage", summary["run_id"], "--root", place / "root")
    assert digest in tree.stdout and "published as serving/1" in tree.stdout and tree.stderr == ""


def test_published_model_knows_the_planted_neighbours(place: Path) -> None:
    serving = place / "root" / "serving"
    for i in (0, 13, 59):
        group = planted.same_group_right_ids(i)
        answer = kindred("similar", "--model", serving, planted.left_id(i), "-k", len(group))
        assert {line.rsplit(maxsplit=1)[0] for line in answer.stdout.splitlines()} == group
    alike = kindred("score", "--model", serving, planted.left_id(0), planted.right_id(4)).stdout
    apart = kindred("score", "--model", serving, planted.left_id(0), planted.right_id(5)).stdout
    assert float(alike.split()[1]) > 0.5
    assert float(apart.split()[1]) < -0.3


def test_monitor_tells_requests_like_the_training_data_from_others(place: Path) -> None:
    """The server writes the log, from which the command finds the run and its training data."""
    for name, left in (("alike", planted.left_id), ("other", lambda i: f"new {i}")):
        config = place / f"{name}.config"
        config.write_text(
            f'model_config_list {{ config {{ name: "films" base_path: "{place}/root/serving" logging_config {{ '
            f'log_collector_config {{ filename_prefix: "{place}/logs/{name}" }} '
            "sampling_config { sampling_rate: 1 } } } }"
        )
        with running.here(f"--model_config_file={config}") as client:
            for i in range(planted.LEFT):
                inputs = {
                    "left_id": [left(i)] * planted.RIGHT,
                    "right_id": [planted.right_id(j) for j in range(planted.RIGHT)],
                }
                assert client.post("films:predict", {"signature_name": "score", "inputs": inputs})[0] == 200
        done = kindred("monitor", "--log", place / "logs" / name, "--root", place / "root", "--json")
        found = json.loads(done.stdout)
        (version,) = found["versions"]
        assert (version["version"], version["run"]) == (1, last_summary(place / "root")["run_id"])
        assert found["records"] == planted.LEFT and version["scores"] == planted.LEFT * planted.RIGHT
        broken = {(check["rule"], check.get("about")) for check in version["checks"] if not check["ok"]}
        if name == "alike":
            assert (done.returncode, broken, done.stderr) == (0, set(), "")
        else:
            assert done.returncode == 3 and version["unknown_share"] == {"left": 1, "right": 0}
            assert ("validate.max_unseen_share", "left_id") in broken
            assert "left_id: 100.0% of the requested ids are not in the training data (at most 0.5)" in done.stderr
    assert "The requests differ" in (place / "root" / "monitor.html").read_text(encoding="utf-8")


def test_unchanged_run_uses_cache(place: Path) -> None:
    first = last_summary(place / "root")
    code, output = run(place)
    assert code == 0, output
    summary = last_summary(place / "root")
    assert states(summary) == dict.fromkeys(NODES, "cached") | ALWAYS_EXECUTED
    assert published(place) == ["1"]
    for field in ("status", "published", "metrics", "blessing", "data", "blessed"):
        assert summary[field] == first[field], field


def test_changed_hyperparameter_reruns_trainer_and_downstream(place: Path) -> None:
    code, output = run(place, "--set", "model.dimension=6")
    assert code == 0, output
    summary = last_summary(place / "root")
    expected = dict.fromkeys(NODES, "cached") | ALWAYS_EXECUTED
    assert states(summary) == expected | dict.fromkeys(
        ("Trainer", "Evaluator", "ServingCanary", "ModelCard", "Pusher"), "executed"
    )
    assert published(place) == ["1", "2"]
    against_last = summary["blessing"][1]
    assert against_last["bound"] == pytest.approx(against_last["value"], abs=0.4), "judged against the first model"


def test_canary_refusal_prevents_publication(place: Path) -> None:
    code, output = run(place, "--set", "model.dimension=6", "--set", "publish.canary.max_p99_ms=0.001")
    assert code == 4
    assert "the serving canary refuses the model" in output and "above 0.001" in output and "publish.canary" in output
    summary = last_summary(place / "root")
    assert (summary["status"], summary["published"]) == ("model_refused", None)
    assert list(states(summary).items())[-1] == ("ServingCanary", "failed")
    assert published(place) == ["1", "2"]


def test_rolled_back_model_stays_away(place: Path) -> None:
    done = kindred("rollback", "--root", place / "root", "--reason", "a test")
    assert done.returncode == 0 and "version 2" in done.stdout
    assert published(place) == [".withdrawn-2", "1"]
    code, output = run(place, "--set", "model.dimension=6")
    assert code == 4
    assert "was rolled back" in output and "kindred rollback --undo" in output
    assert published(place) == [".withdrawn-2", "1"]
    assert kindred("rollback", "--root", place / "root", "--undo").returncode == 0
    assert published(place) == ["1", "2"]


def test_model_below_threshold_is_refused_and_serving_untouched(place: Path) -> None:
    code, output = run(place, "--set", "evaluate.bless=[{metric: rmse, below: 0.001}, {metric: mae, below: 9}]")
    assert code == 4
    summary = last_summary(place / "root")
    assert summary["status"] == "model_refused"
    assert summary["blessed"] is False
    assert summary["published"] is None
    assert states(summary)["ServingCanary"] == states(summary)["Pusher"] == "skipped"
    assert [rule["ok"] for rule in summary["blessing"]] == [False, True]
    assert "rmse below 0.001" in output
    assert published(place) == ["1", "2"]
    validation = load_validation_result(str(place / "root" / summary["evaluation"]))
    assert not validation.validation_ok
    ((failure,),) = (of_slice.failures for of_slice in validation.metric_validations_per_slice)
    assert failure.metric_key.name == "rmse"
    assert failure.metric_value.double_value.value == summary["blessing"][0]["value"]
    done = kindred("report", "--why", summary["run_id"], "--root", place / "root")
    assert done.stderr == ""
    why = done.stdout
    assert "rmse below 0.001: 0.1" in why and "bound 0.0010: NOT MET" in why
    assert "mae below 9: 0.0" in why and ": ok" in why
    assert "Worst slice by rmse: " in why
    worst = why.split("Pairs with the largest errors\n")[1].splitlines()
    assert len(worst) >= 10 and all(line.split()[0] == "left" for line in worst[:10])


def test_diverging_training_suggests_fix(place: Path) -> None:
    code, output = run(place, "--set", "train.optimizer=sgd", "--set", "train.learning_rate=1e9")
    assert code == 1
    assert "train.learning_rate" in output
    assert "Try 1e+08" in output
    summary = last_summary(place / "root")
    assert "The run failed in Trainer" in (place / "root" / "runs" / summary["run_id"] / "report.html").read_text()
    assert summary["status"] == "failed"
    assert list(states(summary).items())[-1] == ("Trainer", "failed")
    assert published(place) == ["1", "2"]


def test_removed_version_is_published_again(place: Path) -> None:
    serving = place / "root" / "serving"
    (serving / "2").rename(place / "elsewhere")
    code, output = run(place, "--set", "model.dimension=6")
    assert code == 0, output
    assert states(last_summary(place / "root"))["Pusher"] == "executed"
    assert published(place) == ["1", "2"]


def test_root_is_whole_after_all_of_that(place: Path) -> None:
    done = kindred("verify", "--root", place / "root")
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert "all are whole" in done.stdout
    listed = kindred("runs", "--root", place / "root", "--json")
    assert json.loads(listed.stdout)[0]["published"] == "serving/1"
