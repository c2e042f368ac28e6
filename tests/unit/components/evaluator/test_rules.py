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
    ("rule", "value", "ok"),
    [
        (Rule(metric="rmse", below=1.0), 1.0, False),
        (Rule(metric="rmse", below=1.0), 0.9999, True),
        (Rule(metric="rmse", above=1.0), 1.0, False),
        (Rule(metric="rmse", above=1.0), 1.0001, True),
    ],
)
@pytest.mark.parametrize("slice_", ["", "left_tail"])
def test_an_absolute_rule_around_its_bound(rule: Rule, value: float, ok: bool, slice_: str) -> None:
    (result,) = judge([rule.replace(slice=slice_ or None)], figures(value))
    assert (result.ok, result.value, result.interval) == (ok, value, (0.0, 9.0))
    assert result.rule.startswith(f"{rule.metric} on left_tail" if slice_ else rule.metric)


# A baseline of 2 and a last model of 1: the tolerance is 0.01.
@pytest.mark.parametrize(
    ("rule", "low", "high", "ok"),
    [
        (Rule(metric="rmse", better_than="baseline"), -0.4, -0.001, True),
        (Rule(metric="rmse", better_than="baseline"), -0.4, 0.001, False),
        (Rule(metric="rmse", better_than="baseline"), 0.1, 0.4, False),
        (Rule(metric="rmse", better_than="baseline", margin=0.25), -0.4, -0.26, True),
        (Rule(metric="rmse", better_than="baseline", margin=0.25), -0.4, -0.24, False),
        (Rule(metric="rmse", better_than="baseline", margin=-0.25), -0.4, 0.24, True),
        (Rule(metric="rmse", better_than="last_blessed"), -0.1, 0.4, True),
        (Rule(metric="rmse", better_than="last_blessed"), 0.009, 0.4, True),
        (Rule(metric="rmse", better_than="last_blessed"), 0.011, 0.4, False),
        (Rule(metric="rmse", better_than="last_blessed", margin=0), 0.001, 0.4, False),
        (Rule(metric="rmse", better_than="last_blessed", margin=-0.25), 0.24, 0.4, True),
        (Rule(metric="rmse", better_than="last_blessed", margin=-0.25), 0.26, 0.4, False),
        (Rule(metric="rmse", better_than="last_blessed", margin=0.25), -0.4, -0.26, True),
        (Rule(metric="rmse", better_than="last_blessed", margin=0.25), -0.4, -0.24, False),
        (Rule(metric="auc", better_than="baseline"), 0.001, 0.4, True),
        (Rule(metric="auc", better_than="baseline"), -0.001, 0.4, False),
        (Rule(metric="ndcg@10", better_than="last_blessed"), -0.4, -0.009, True),
        (Rule(metric="ndcg@10", better_than="last_blessed"), -0.4, -0.011, False),
    ],
)
def test_a_comparison_is_judged_by_the_interval_of_the_difference(
    rule: Rule, low: float, high: float, ok: bool
) -> None:
    compared = {name: Comparison(value, low, high) for name, value in _MODELS.items()}
    (result,) = judge([rule], [Figure(rule.metric, "", 10, 1.5, 0.0, 9.0, compared)])
    assert result.ok is ok
    assert result.difference == (low, high)
    assert f"difference [{low:.4f}, {high:.4f}]" in str(result)
    assert ("may be noise" in str(result)) == (not ok and low < 0 < high)
    assert RuleResult.of_summary(result.to_summary()).difference == result.difference


_MODELS = {"mean": 2.0, "popularity": 2.0, "last_blessed": 1.0}


@pytest.mark.parametrize(
    ("low", "high", "bar"),
    [(-0.4, -0.15, True), (-0.4, -0.12, False), (-0.0105, -0.0104, True), (-0.009, -0.009, False), (-0.1, 0.1, False)],
)
def test_only_a_clearly_better_model_sets_the_bar(low: float, high: float, bar: bool) -> None:
    rules = [Rule(metric="rmse", better_than="baseline"), Rule(metric="rmse", better_than="last_blessed")]
    mean = Comparison(2.0, -1.2, -0.8)
    found = [Figure("rmse", "", 10, 1.0, 0.0, 9.0, {"mean": mean, "last_blessed": Comparison(1.0, low, high)})]
    assert Evaluation(found, judge(rules, found)).sets_the_bar is bar
    alone = [Figure("rmse", "", 10, 1.0, 0.0, 9.0, {"mean": mean})]
    first = Evaluation(alone, judge(rules, alone))
    assert first.blessed and first.sets_the_bar


def test_a_comparison_without_an_interval_is_refused_with_the_reason() -> None:
    found = [Figure("rmse", "", 10, 1.0, others={"mean": Comparison(2.0)})]
    (result,) = judge([Rule(metric="rmse", better_than="baseline")], found)
    assert not result.ok and "all eval rows are of one left entity" in str(result.missing)


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
