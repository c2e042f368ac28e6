"""The properties of artifacts in Kubeflow's user interface."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from kfp import dsl

from components.evaluator.evaluation import Evaluation, write_evaluation
from pipeline.kubeflow import ui_artifacts
from pipeline.records.root import Root
from pipeline.records.run_record import RunRecord

ROOT = Root(Path("/kindred/films"))


def record(**fields: Any) -> RunRecord:
    return RunRecord(pipeline="films", run_id="r", config={"data": {"path": "/kindred/pairs.csv"}}, **fields)


def test_dataset_has_place_and_counts() -> None:
    found = ui_artifacts.dataset(record(data={"rows": 12, "quarantined": 1, "splits": {"train": 9, "eval": 2}}))
    assert found == {"location": "/kindred/pairs.csv", "rows": 12, "quarantined": 1, "train_rows": 9, "eval_rows": 2}


def test_model_has_version_and_location() -> None:
    local = ui_artifacts.model(record(status="published", published="serving/4"), ROOT)
    assert (local["version"], local["location"]) == ("4", "/kindred/films/serving/4")
    remote = ui_artifacts.model(record(status="published", published="s3://models/films/4"), ROOT)
    assert (remote["version"], remote["location"]) == ("4", "s3://models/films/4")


def test_metric_without_value_is_absent() -> None:
    assert ui_artifacts.metrics(record(metrics={"rmse": 0.5, "auc": math.nan})) == {"rmse": 0.5}


def test_output_file_is_the_one_that_kubeflow_names(tmp_path: Path) -> None:
    place = tmp_path / "minio" / "output_metadata.json"
    given = json.dumps({"outputs": {"outputFile": str(place)}})
    ui_artifacts.write(given, {"metrics": {"rmse": 0.5}, "model": {}}, {"metrics": str(tmp_path / "m"), "model": None})
    assert json.loads(place.read_text()) == {"artifacts": {"metrics": {"artifacts": [{"metadata": {"rmse": 0.5}}]}}}
    assert json.loads((tmp_path / "m").read_text()) == {"rmse": 0.5}


def test_classes_have_the_keys_of_kubeflows_own_artifact(tmp_path: Path) -> None:
    """What the SDK of KFP logs is what its user interface reads."""
    facts = {"unit": {"center": 0.5, "scale": 1.0}}
    facts["classes"] = {"roc": [[2.0, 0.0, 0.0], [0.25, 1.0, 1.0]], "confusion": [[3.0, 1.0], [0.0, 4.0]]}
    evaluation = tmp_path / "pipeline" / "Evaluator" / "evaluation" / "3"
    evaluation.mkdir(parents=True)
    write_evaluation(Evaluation([], [], facts), str(evaluation))
    found = ui_artifacts.classes(record(evaluation="pipeline/Evaluator/evaluation/3"), Root(tmp_path))
    expected = dsl.ClassificationMetrics()
    expected.log_roc_curve(fpr=[0.0, 1.0], tpr=[0.0, 1.0], threshold=[2.0, 0.25])
    expected.log_confusion_matrix(["at most 0.5", "above 0.5"], [[3.0, 1.0], [0.0, 4.0]])
    assert found == expected.metadata


def test_labels_of_one_class_have_no_curve(tmp_path: Path) -> None:
    assert ui_artifacts.classes(record(), ROOT) == {}
    write_evaluation(Evaluation([], [], {"unit": {"center": 0.5}, "classes": None}), str(tmp_path))
    assert ui_artifacts.classes(record(evaluation="."), Root(tmp_path)) == {}
