"""Measures agree with plain formulas, influences with the jackknife, and intervals hold together."""

from __future__ import annotations

import numpy as np
import pytest

from trainer.data.pairs import Pairs
from trainer.search.comparison import differences
from trainer.search.measures import LabelMeasure, of_mean


def _rows(seed: int, rows: int = 300, weighted: bool = True) -> Pairs:
    draw = np.random.default_rng(seed)
    weight = draw.uniform(0.5, 2, rows).astype(np.float32) if weighted else None
    left = draw.integers(0, 40, rows).astype(np.int32)
    return Pairs(left, left, draw.normal(size=rows).astype(np.float32), weight)


def _plain(metric: str, score: np.ndarray, label: np.ndarray, weight: np.ndarray) -> float:
    if metric == "auc":
        pairs = weight[label > 0][:, None] * weight[label <= 0]
        gaps = score[label > 0][:, None] - score[label <= 0]
        return float((pairs * ((gaps > 0) + 0.5 * (gaps == 0))).sum() / pairs.sum())
    errors = np.average(np.abs(score - label) ** (2 if metric == "rmse" else 1), weights=weight)
    return float(errors**0.5 if metric == "rmse" else errors)


@pytest.mark.parametrize("metric", ["rmse", "mae", "auc"])
def test_measures_match_plain_formulas_and_the_jackknife(metric: str) -> None:
    held = _rows(1)
    assert held.weight is not None
    label, weight = held.label.astype(float), held.weight.astype(float)
    score = np.round(label + np.random.default_rng(2).normal(size=len(held)), 1)  # with ties, and beyond the labels
    measure = LabelMeasure(metric, held, held)
    figure = measure.figure(score)
    score = score if metric == "auc" else np.clip(score, label.min(), label.max())
    assert figure.value == pytest.approx(_plain(metric, score, label, weight), rel=1e-6)
    assert figure.influence.sum() == pytest.approx(0, abs=1e-9)
    without = []
    for entity in np.unique(held.left):
        rows = held.left != entity
        without.append(figure.value - _plain(metric, score[rows], label[rows], weight[rows]))
    assert np.corrcoef(without, figure.influence)[0, 1] > 0.99
    assert np.std(without) == pytest.approx(np.std(figure.influence), rel=0.1)


def test_difference_of_one_trial_has_the_interval_of_a_paired_test() -> None:
    draw = np.random.default_rng(4)
    shared = draw.normal(size=1000)
    one, other = (of_mean(shared + 0.1 * draw.normal(size=1000)) for _ in range(2))
    (found,) = differences(one, [other], True, 1)
    gaps = (other.influence - one.influence) * 1000
    half = 1.96 * gaps.std() / 1000**0.5
    assert found.value == pytest.approx(other.value - one.value)
    assert (found.low, found.high) == pytest.approx((found.value - half, found.value + half), abs=0.1 * half)


def test_intervals_of_many_trials_are_wider_than_of_one() -> None:
    draw = np.random.default_rng(5)
    figures = [of_mean(draw.normal(size=500)) for _ in range(31)]
    (alone,) = differences(figures[0], figures[1:2], True, 1)
    among = differences(figures[0], figures[1:], True, 1)[0]
    assert among.high - among.low > 1.3 * (alone.high - alone.low)


@pytest.mark.parametrize("rising", [True, False])
def test_better_follows_the_direction_of_the_metric(rising: bool) -> None:
    values = np.random.default_rng(6).normal(size=400)
    noise = 0.01 * np.random.default_rng(7).normal(size=400)
    up, down = differences(of_mean(values), [of_mean(values + 0.1 + noise), of_mean(values - 0.1 + noise)], rising, 1)
    assert (up.better, down.better) == (rising, not rising)


def test_equal_trial_and_single_entity_prove_nothing() -> None:
    values = np.arange(9.0)
    (equal,) = differences(of_mean(values), [of_mean(values)], True, 1)
    assert (equal.value, equal.better) == (0, False)
    (single,) = differences(of_mean(values[:1]), [of_mean(values[1:2])], True, 1)
    assert not single.better
    assert differences(of_mean(values), [], True, 1) == []
