"""Rules at, below and above their bounds, rules without a value, and the verdict file."""

from __future__ import annotations

from pathlib import Path

import pytest

from components.evaluator.evaluation import Evaluation, read_evaluation, write_evaluation
from components.evaluator.figures import Comparison, Figure
from components.evaluator.names import check_metric, check_slice
from components.evaluator.rules import Rule, RuleResult, judge
from components.evaluator.settings import EvaluationSettings, wanted

pytestmark = pytest.mark.tensorflow


def figures(value: float | None, count: int = 10, **others: float | None) -> list[Figure]:
    compared = {name: Comparison(other, -0.1, 0.1) for name, other in others.items()}
    return [
        Figure(metric, slice_, count, value, 0.0, 9.0, compared)
        for metric in ("rmse", "auc", "ndcg@10")
        for slice_ in ("", "left_tail")
    ]


@pytest.mark.parametrize(
    ("rule", "value", "other", "ok"),
    [
        (Rule(metric="rmse", below=1.0), 1.0, None, False),
        (Rule(metric="rmse", below=1.0), 0.9999, None, True),
        (Rule(metric="rmse", above=1.0), 1.0, None, False),
        (Rule(metric="rmse", above=1.0), 1.0001, None, True),
        (Rule(metric="rmse", better_than="baseline"), 1.0, 1.0, False),
        (Rule(metric="rmse", better_than="baseline"), 0.99, 1.0, True),
        (Rule(metric="rmse", better_than="baseline", margin=0.25), 0.75, 1.0, False),
        (Rule(metric="rmse", better_than="baseline", margin=0.25), 0.74, 1.0, True),
        (Rule(metric="rmse", better_than="last_blessed"), 1.0, 1.0, True),
        (Rule(metric="rmse", better_than="last_blessed"), 1.01, 1.0, False),
        (Rule(metric="rmse", better_than="last_blessed", margin=-0.25), 1.25, 1.0, True),
        (Rule(metric="rmse", better_than="last_blessed", margin=-0.25), 1.26, 1.0, False),
        (Rule(metric="auc", better_than="baseline"), 0.5, 0.5, False),
        (Rule(metric="auc", better_than="baseline"), 0.51, 0.5, True),
        (Rule(metric="auc", better_than="baseline", margin=0.25), 0.75, 0.5, False),
        (Rule(metric="ndcg@10", better_than="last_blessed"), 0.5, 0.5, True),
        (Rule(metric="ndcg@10", better_than="last_blessed"), 0.49, 0.5, False),
        (Rule(metric="ndcg@10", better_than="last_blessed", margin=-0.25), 0.25, 0.5, True),
        (Rule(metric="ndcg@10", better_than="last_blessed", margin=-0.25), 0.24, 0.5, False),
    ],
)
@pytest.mark.parametrize("slice_", ["", "left_tail"])
def test_rule_around_its_bound(rule: Rule, value: float, other: float | None, ok: bool, slice_: str) -> None:
    rule = rule.replace(slice=slice_ or None)
    others = {str(rule.other): other} if rule.other else {}
    (result,) = judge([rule], figures(value, **others))
    assert result.ok is ok
    assert result.value == value
    assert result.interval == (0.0, 9.0)
    assert result.rule.startswith(f"{rule.metric} on left_tail" if slice_ else rule.metric)


def test_baseline_depends_on_metric_kind() -> None:
    assert Rule(metric="rmse", better_than="baseline").other == "mean"
    assert Rule(metric="ndcg@10", better_than="baseline").other == "popularity"
    assert Rule(metric="rmse", better_than="biases").other == "biases"


def test_every_rule_is_judged() -> None:
    rules = [
        Rule(metric="rmse", below=0.1),
        Rule(metric="auc", above=0.1),
        Rule(metric="ndcg@10", above=3.0, slice="left_tail"),
    ]
    assert [result.ok for result in judge(rules, figures(2.0))] == [False, True, False]


def test_missing_comparison_or_rows_holds() -> None:
    (first_run,) = judge([Rule(metric="rmse", better_than="last_blessed")], figures(2.0, mean=1.0))
    assert (first_run.ok, first_run.bound) == (True, None)
    (no_rows,) = judge([Rule(metric="rmse", below=0.1)], figures(None, count=0))
    assert (no_rows.ok, no_rows.value) == (True, None)
    assert "no rows" in str(no_rows)


def test_missing_value_fails_rule() -> None:
    (no_value,) = judge([Rule(metric="auc", above=0.1)], figures(None, count=5))
    assert not no_value.ok


def test_missing_figure_raises() -> None:
    with pytest.raises(KeyError):
        judge([Rule(metric="recall@3", above=0.1)], figures(1.0))


def test_verdict_round_trips(tmp_path: Path) -> None:
    found = figures(2.0, mean=1.0, last_blessed=None)
    verdict = Evaluation(found, judge([Rule(metric="rmse", below=3.0)], found), {"unit": {"center": 3.5, "scale": 1.0}})
    write_evaluation(verdict, str(tmp_path))
    assert read_evaluation(str(tmp_path)) == verdict
    assert verdict.blessed
    assert not Evaluation(found, [], {}).blessed


def test_settings_round_trip_and_list_intervals() -> None:
    rules = (
        Rule(metric="rmse", better_than="baseline"),
        Rule(metric="rmse", better_than="biases"),
        Rule(metric="auc", above=0.6),
    )
    settings = EvaluationSettings(rules=rules, are_defaults=True, scored=False, slices=("known",))
    assert EvaluationSettings.model_validate_json(settings.model_dump_json()) == settings
    assert wanted(rules) == {("rmse", ""): {"mean", "biases"}, ("auc", ""): frozenset()}


@pytest.mark.parametrize("metric", ["rmse", "recall@10", "sampled_ndcg@5", "mrr", "sampled_map", "coverage@7"])
def test_known_metric_is_accepted(metric: str) -> None:
    assert check_metric(metric) == metric


@pytest.mark.parametrize("metric", ["rsme", "recall", "sampled_rmse", "sampled_coverage@5", "recall@-1", ""])
def test_unknown_metric_is_refused(metric: str) -> None:
    with pytest.raises(ValueError, match=r"unknown metric\. Choose rmse, mae, auc"):
        check_metric(metric)


def test_rankings_have_left_slices_only() -> None:
    check_slice("rmse", "unknown")
    check_slice("ndcg@10", "left_tail")
    with pytest.raises(ValueError, match="ndcg@10 is measured on left_head, left_middle, left_tail"):
        check_slice("ndcg@10", "unknown")


def test_rule_that_cannot_be_measured_says_why() -> None:
    others = {"mean": Comparison(None)}
    figure = Figure("auc", "", 96, None, others=others, missing="auc needs both classes")
    baseline, last, bound = judge(
        [
            Rule(metric="auc", better_than="baseline"),
            Rule(metric="auc", better_than="last_blessed"),
            Rule(metric="auc", above=0.6),
        ],
        [figure],
    )
    assert (baseline.ok, last.ok, bound.ok) == (False, True, False)
    assert str(baseline) == "auc better than constant-mean baseline: auc needs both classes: NOT MET"
    assert RuleResult.of_summary(baseline.to_summary()).texts == baseline.texts
