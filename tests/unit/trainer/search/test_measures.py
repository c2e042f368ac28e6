"""Measures of labels, against plain formulas and finite differences."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import log_loss

from trainer.data.pairs import Pairs
from trainer.search.measures import LabelMeasure


def _pairs(low: float, high: float, weighted: bool) -> Pairs:
    random = np.random.default_rng(3)
    label = np.where(random.random(200) < 0.3, high, low).astype(np.float32)
    weight = random.integers(1, 5, 200).astype(np.float32) if weighted else None
    return Pairs(random.integers(0, 20, 200).astype(np.int32), np.zeros(200, np.int32), label, weight)


@pytest.mark.parametrize("weighted", [True, False])
@pytest.mark.parametrize("log_odds", [1.0, 0.5])
def test_log_loss_of_log_odds(weighted: bool, log_odds: float) -> None:
    pairs = _pairs(-0.3, 0.7, weighted)
    scores = np.random.default_rng(1).normal(size=200).astype(np.float32)
    expected = log_loss(pairs.label > 0, 1 / (1 + np.exp(-log_odds * scores)), sample_weight=pairs.weight)
    assert LabelMeasure("log_loss", pairs, pairs).figure(scores, log_odds).value == pytest.approx(expected, rel=1e-5)


def test_log_loss_of_predicted_labels() -> None:
    pairs = _pairs(-0.25, 0.75, False)
    scores = np.random.default_rng(1).normal(0, 0.5, 200).astype(np.float32)
    expected = log_loss(pairs.label > 0, np.clip(scores + 0.25, 1e-4, 1 - 1e-4))
    assert LabelMeasure("log_loss", pairs, pairs).figure(scores).value == pytest.approx(expected, rel=1e-4)


def test_rmse_of_log_odds_is_that_of_the_expected_label() -> None:
    pairs = _pairs(-0.3, 0.7, False)
    scores = np.random.default_rng(1).normal(size=200)
    expected = np.sqrt(np.mean((-0.3 + 1 / (1 + np.exp(-scores)) - pairs.label) ** 2))
    assert LabelMeasure("rmse", pairs, pairs).figure(scores, 1.0).value == pytest.approx(expected, rel=1e-5)


def test_influence_is_the_derivative_by_the_weight_of_an_entity() -> None:
    pairs = _pairs(-0.3, 0.7, True)
    assert pairs.weight is not None
    scores = np.random.default_rng(1).normal(size=200)
    figure = LabelMeasure("log_loss", pairs, pairs).figure(scores, 1.0)
    assert figure.influence.sum() == pytest.approx(0, abs=1e-12)
    more = Pairs(pairs.left, pairs.right, pairs.label, pairs.weight * np.where(pairs.left == 4, np.float32(1.001), 1))
    change = LabelMeasure("log_loss", more, more).figure(scores, 1.0).value - figure.value
    assert change / 0.001 == pytest.approx(figure.influence[4], rel=0.01)
