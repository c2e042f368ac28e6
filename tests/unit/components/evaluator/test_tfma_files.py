"""Reads the Evaluator's files for TensorFlow Model Analysis with TFMA itself."""

from __future__ import annotations

from pathlib import Path

import pytest
from tensorflow_model_analysis.api import model_eval_lib

from components.evaluator.evaluation import Evaluation
from components.evaluator.figures import Comparison, Figure
from components.evaluator.rules import Rule, judge
from components.evaluator.tfma_files import write_tfma_files

_FIGURES = [
    Figure("rmse", "", 90, 0.5, 0.4, 0.6, {"mean": Comparison(0.7, -0.3, -0.1)}),
    Figure("auc", "", 90, 0.8),
    Figure("rmse", "unknown", 10, 0.9),
    Figure("auc", "unknown", 10, None),
    Figure("rmse", "left_tail", 0, None),
    Figure("recall@10", "", 90, 0.25, 0.2, 0.3),
]
_RULES = [
    Rule(metric="rmse", better_than="baseline"),
    Rule(metric="rmse", below=0.6, slice="unknown"),
    Rule(metric="recall@10", above=0.5),
]


@pytest.fixture
def evaluation(tmp_path: Path) -> str:
    write_tfma_files(Evaluation(_FIGURES, judge(_RULES, _FIGURES)), _RULES, str(tmp_path))
    return str(tmp_path)


def test_metrics_have_slices_and_intervals(evaluation: str) -> None:
    result = model_eval_lib.load_eval_result(evaluation)
    metrics = {slice_: by_output[""][""] for slice_, by_output in result.slicing_metrics}
    assert metrics == {
        (): {
            "rmse": {"boundedValue": {"lowerBound": 0.4, "upperBound": 0.6, "value": 0.5}},
            "auc": {"doubleValue": 0.8},
            "recall@10": {"boundedValue": {"lowerBound": 0.2, "upperBound": 0.3, "value": 0.25}},
        },
        (("slice", "unknown"),): {"rmse": {"doubleValue": 0.9}},
    }
    names = [metric.class_name for spec in result.config.metrics_specs for metric in spec.metrics]
    assert names == ["rmse", "auc", "recall@10"]
    assert [dict(spec.feature_values) for spec in result.config.slicing_specs] == [
        {}, {"slice": "unknown"}, {"slice": "left_tail"}
    ]  # fmt: skip


def test_failed_rules_are_listed(evaluation: str) -> None:
    validation = model_eval_lib.load_validation_result(evaluation)
    assert not validation.validation_ok
    failures = {
        tuple(key.bytes_value.decode() for key in found.slice_key.single_slice_keys): [
            (failure.metric_key.name, failure.metric_value.double_value.value, failure.message)
            for failure in found.failures
        ]
        for found in validation.metric_validations_per_slice
    }
    assert failures == {
        (): [("recall@10", 0.25, "recall@10 above 0.5: 0.2500 [0.2000, 0.3000], bound 0.5000: NOT MET")],
        ("unknown",): [("rmse", 0.9, "rmse on unknown below 0.6: 0.9000, bound 0.6000: NOT MET")],
    }


def test_passing_rules_validate(tmp_path: Path) -> None:
    write_tfma_files(Evaluation(_FIGURES, judge(_RULES[:1], _FIGURES)), _RULES[:1], str(tmp_path))
    validation = model_eval_lib.load_validation_result(str(tmp_path))
    assert validation.validation_ok
    assert not validation.metric_validations_per_slice
