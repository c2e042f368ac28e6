"""Errors through TensorFlow Model Analysis against NumPy; rules at, below and above their bounds; the verdict."""

from __future__ import annotations

import math
from pathlib import Path

import apache_beam as beam
import numpy as np
import pytest
import tensorflow_model_analysis as tfma
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from tensorflow_model_analysis.evaluators import metrics_validator
from tensorflow_model_analysis.metrics import metric_types

from components.evaluator.metrics import NAMES, PairErrors
from components.evaluator.rules import CANDIDATE, LAST_BLESSED, Rule, eval_config
from components.evaluator.verdict import RuleResult, Verdict, read_verdict

pytestmark = pytest.mark.tensorflow

FINITE = st.floats(-1e6, 1e6)
ROWS = st.lists(st.tuples(FINITE, FINITE, FINITE), min_size=1, max_size=12)


def _combiner(model_name: str = ""):
    (computation,) = PairErrors().computations(model_names=[model_name])
    return computation.combiner


def _element(label: float, value: float, baseline: float, model: str = "") -> metric_types.StandardMetricInputs:
    predictions = {"value": np.array([value], np.float32), "baseline": np.array([baseline], np.float32)}
    return metric_types.StandardMetricInputs(
        label=np.array([label], np.float32), prediction={model: predictions} if model else predictions
    )


def _measure(parts: list[list[tuple[float, float, float]]]) -> dict[str, float]:
    """`(label, value, baseline)` summed part by part, merged, in one metric's words."""
    combiner = _combiner()
    accumulators = []
    for part in parts:
        accumulator = combiner.create_accumulator()
        for row in part:
            accumulator = combiner.add_input(accumulator, _element(*row))
        accumulators.append(accumulator)
    output = combiner.extract_output(combiner.merge_accumulators(accumulators))
    return {key.name: value for key, value in output.items()}


def _oracle(rows: list[tuple[float, float, float]]) -> dict[str, float]:
    label, value, baseline = (np.array(column, np.float32).astype(np.float64) for column in zip(*rows, strict=True))
    rmse, baseline_rmse = (np.sqrt(np.mean((answer - label) ** 2)) for answer in (value, baseline))
    mae, baseline_mae = (np.mean(np.abs(answer - label)) for answer in (value, baseline))
    values = (rmse, mae, baseline_rmse, baseline_mae, baseline_rmse - rmse, baseline_mae - mae)
    return dict(zip(NAMES, map(float, values), strict=True))


@given(ROWS, st.integers(0, 12), st.integers(0, 12))
def test_errors_are_numpys_however_the_rows_are_parted(rows: list, first: int, second: int) -> None:
    low, high = sorted((first, second))
    found, expected = _measure([rows[:low], rows[low:high], rows[high:]]), _oracle(rows)
    assert found.keys() == expected.keys() == set(NAMES)
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, rel=1e-9, abs=1e-6), name


def test_a_planted_error() -> None:
    # Errors 3 and -4 against 0 and 10: by hand.
    assert _measure([[(1.0, 4.0, 1.0)], [(2.0, -2.0, 12.0)]]) == pytest.approx(
        {
            "rmse": math.sqrt(12.5),
            "mae": 3.5,
            "baseline_rmse": math.sqrt(50),
            "baseline_mae": 5.0,
            "rmse_gain": math.sqrt(50) - math.sqrt(12.5),
            "mae_gain": 1.5,
        }
    )


def test_of_no_rows_nothing_is_known() -> None:
    assert all(math.isnan(value) for value in _measure([[], []]).values())


# Thresholds, judged by TFMA's own validator.

METRICS = {"rmse": 2.0, "mae": 1.5, "rmse_gain": 0.5, "mae_gain": 0.25}


def _as_tfx_has_it(config: tfma.EvalConfig, has_last: bool) -> tfma.EvalConfig:
    """What TFX's Evaluator makes of the configuration where there is, or is not, a last blessed model."""
    return tfma.utils.update_eval_config_with_defaults(config, has_baseline=has_last, rubber_stamp=True)


def _holds(rule: Rule | list[Rule], candidate: dict[str, float], last: dict[str, float] | None = None) -> bool:
    """Whether TFMA finds that a candidate with these metrics meets the rule."""
    config = eval_config(rule if isinstance(rule, list) else [rule])
    config = _as_tfx_has_it(config, has_last=last is not None)
    values = {}
    # With one model alone TFMA calls it nothing.
    name = CANDIDATE if last is not None else ""
    for metric, value in candidate.items():
        key = metric_types.MetricKey(metric, name, "", example_weighted=None)
        values[key] = value
        if last is not None:
            values[key.make_baseline_key(LAST_BLESSED)] = last[metric]
            values[key.make_diff_key()] = value - last[metric]
    return metrics_validator.validate_metrics(((), values), config).validation_ok


def _up(value: float) -> float:
    return math.nextafter(value, math.inf)


def _down(value: float) -> float:
    return math.nextafter(value, -math.inf)


@given(st.sampled_from(["rmse", "mae"]), st.floats(1e-6, 1e6), st.booleans())
@settings(max_examples=40)
def test_below_and_above_are_strict(metric: str, bound: float, compared: bool) -> None:
    last = METRICS if compared else None
    for value, below, above in ((bound, False, False), (_down(bound), True, False), (_up(bound), False, True)):
        candidate = METRICS | {metric: value}
        assert _holds(Rule(metric, below=bound), candidate, last) is below
        assert _holds(Rule(metric, above=bound), candidate, last) is above


@pytest.mark.parametrize("metric", ["rmse", "mae"])
@pytest.mark.parametrize("margin", [0.0, 0.25, -0.25])
@pytest.mark.parametrize("last", [None, METRICS])
def test_equal_to_the_baseline_is_not_better(metric: str, margin: float, last: dict | None) -> None:
    rule = Rule(metric, better_than="baseline", margin=margin)
    for gain, ok in ((margin, False), (_up(margin), True), (_down(margin), False), (margin + 1, True)):
        assert _holds(rule, METRICS | {f"{metric}_gain": gain}, last) is ok


@pytest.mark.parametrize("metric", ["rmse", "mae"])
@pytest.mark.parametrize("margin", [0.0, 0.25, -0.25])
def test_equal_to_the_last_blessed_is_no_worse(metric: str, margin: float) -> None:
    rule = Rule(metric, better_than="last_blessed", margin=margin)
    bound = METRICS[metric] - margin
    for value, ok in ((bound, True), (_up(bound), False), (_down(bound), True), (bound + 1, False)):
        assert _holds(rule, METRICS | {metric: value}, METRICS) is ok


def test_without_a_last_blessed_model_there_is_nothing_to_fall_behind() -> None:
    assert _holds(Rule("rmse", better_than="last_blessed", margin=99), METRICS)


@pytest.mark.parametrize(
    "rule",
    [
        Rule("rmse", below=9),
        Rule("rmse", above=0),
        Rule("rmse", better_than="baseline"),
        Rule("rmse", better_than="last_blessed"),
    ],
)
def test_a_model_that_answers_nan_is_never_blessed(rule: Rule) -> None:
    assert _holds(rule, METRICS, METRICS)
    assert not _holds(rule, dict.fromkeys(METRICS, math.nan), METRICS)


def test_rules_on_the_same_metric_hold_only_together() -> None:
    rules = [
        Rule("rmse", below=3),
        Rule("rmse", above=1),
        Rule("rmse", better_than="baseline"),
        Rule("rmse", better_than="last_blessed"),
        Rule("mae", below=2),
    ]
    assert _holds(rules, METRICS, METRICS)
    for change in ({"rmse": 3.0}, {"rmse": 1.0}, {"rmse_gain": 0.0}, {"rmse": 2.1}, {"mae": 2.0}):
        assert not _holds(rules, METRICS | change, METRICS), change


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        (Rule("rmse", below=0.95), "rmse below 0.95"),
        (Rule("mae", above=0), "mae above 0"),
        (Rule("rmse", better_than="baseline"), "rmse better than constant-mean baseline"),
        (Rule("rmse", better_than="baseline", margin=0.1), "rmse better than constant-mean baseline by 0.1"),
        (Rule("rmse", better_than="last_blessed"), "rmse no worse than last blessed model"),
        (Rule("rmse", better_than="last_blessed", margin=-0.01), "rmse at most 0.01 worse than last blessed model"),
        (Rule("rmse", better_than="last_blessed", margin=0.01), "rmse better than last blessed model by 0.01"),
    ],
)
def test_rules_read_as_sentences(rule: Rule, said: str) -> None:
    assert str(rule) == said


# The whole way: extracts with planted answers, TFMA's evaluation on disk, and the verdict read from it.

LABELS = [1.0, 5.0, 3.0, 4.0, 2.0, 3.0]
ANSWERS = {CANDIDATE: [1.5, 4.0, 3.0, 4.5, 2.0, 2.5], LAST_BLESSED: [1.0, 4.5, 3.5, 4.0, 2.0, 3.5]}
CONSTANT = 3.0
RULES = [
    Rule("rmse", below=2.0),
    Rule("rmse", above=1.0),
    Rule("rmse", better_than="baseline"),
    Rule("mae", better_than="baseline", margin=0.7),
    Rule("rmse", better_than="last_blessed", margin=0.0),
    Rule("mae", better_than="last_blessed", margin=-0.5),
]


def _evaluate(folder: Path, models: list[str]) -> Verdict:
    has_last = LAST_BLESSED in models
    config = _as_tfx_has_it(eval_config(RULES), has_last)

    def extracts(i: int) -> tfma.types.Extracts:
        answers = {
            model: {"value": np.array([ANSWERS[model][i]]), "baseline": np.array([CONSTANT])} for model in models
        }
        return {
            "features": {},
            "labels": np.array([LABELS[i]]),
            "predictions": answers if has_last else answers[CANDIDATE],
            "example_weights": None,
        }

    with beam.Pipeline(runner=FnApiRunner()) as pipeline:
        _ = (
            pipeline
            | beam.Create(range(len(LABELS)), reshuffle=False)
            | beam.Map(extracts)
            | tfma.ExtractAndEvaluate(
                extractors=[tfma.extractors.SliceKeyExtractor(eval_config=config)],
                evaluators=[tfma.evaluators.MetricsPlotsAndValidationsEvaluator(eval_config=config)],
            )
            | tfma.WriteResults(tfma.default_writers(str(folder), eval_config=config))
        )
    return read_verdict(str(folder), RULES)


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> Verdict:
    return _evaluate(tmp_path_factory.mktemp("compared"), [CANDIDATE, LAST_BLESSED])


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Verdict:
    return _evaluate(tmp_path_factory.mktemp("alone"), [CANDIDATE])


def _errors(model: str) -> dict[str, float]:
    return _oracle(list(zip(LABELS, ANSWERS[model], [CONSTANT] * len(LABELS), strict=True)))


@pytest.mark.parametrize("which", ["compared", "alone"])
def test_the_metrics_are_the_candidates(which: str, request: pytest.FixtureRequest) -> None:
    verdict: Verdict = request.getfixturevalue(which)
    expected = _errors(CANDIDATE) | {"example_count": len(LABELS)}
    if which == "compared":
        last = _errors(LAST_BLESSED) | {"example_count": len(LABELS)}
        expected |= {f"{name}_diff": value - last[name] for name, value in expected.items()}
    assert verdict.metrics == pytest.approx(expected)


@pytest.mark.parametrize("which", ["compared", "alone"])
def test_each_rule_is_told_with_its_value_and_bound(which: str, request: pytest.FixtureRequest) -> None:
    verdict: Verdict = request.getfixturevalue(which)
    candidate, last = _errors(CANDIDATE), _errors(LAST_BLESSED)
    with_last = which == "compared"
    expected = [
        (candidate["rmse"], 2.0, True),
        (candidate["rmse"], 1.0, False),
        (candidate["rmse"], candidate["baseline_rmse"], True),
        (candidate["mae"], candidate["baseline_mae"] - 0.7, candidate["mae"] < candidate["baseline_mae"] - 0.7),
        (candidate["rmse"], last["rmse"] if with_last else None, not with_last),
        (candidate["mae"], last["mae"] + 0.5 if with_last else None, True),
    ]
    assert candidate["rmse"] > last["rmse"] and candidate["mae"] < last["mae"] + 0.5
    for result, rule, (value, bound, ok) in zip(verdict.rules, RULES, expected, strict=True):
        assert result == RuleResult(str(rule), pytest.approx(value), pytest.approx(bound), ok)
    assert verdict.blessed is False


def test_a_result_reads_as_a_line() -> None:
    assert str(RuleResult("rmse below 1", 2.0, 1.0, False)) == "rmse below 1: 2.0000, bound 1.0000: NOT MET"
    assert str(RuleResult("r", 2.0, None, True)) == "r: 2.0000, no blessed model yet: ok"
