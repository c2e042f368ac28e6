"""Figures of a model on held-out rows, and how much each left entity moves them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import scipy.special

from trainer.data.pairs import Pairs, TrainingPairs
from trainer.search.space import AUC
from trainer.settings import LOG_LOSS, MAE, RMSE

_ROWS = 1 << 20
# Probabilities nearer to 0 or 1 count as these, because predictions of least squares may be beyond.
_LEAST_PROBABILITY = 1e-4


@dataclasses.dataclass(frozen=True)
class Figure:
    """A metric of some held-out rows.

    Attributes:
      value: the metric.
      influence: how much each unit, such as a left entity, moves the metric, float64 `[units]`. The sum is 0.
    """

    value: float
    influence: np.ndarray


def of_mean(values: np.ndarray) -> Figure:
    """Returns the mean of independent `values` `[units]`, or 0 of none."""
    if not len(values):
        return Figure(0.0, np.zeros(0))
    mean = float(values.mean())
    return Figure(mean, (values - mean) / len(values))


class LabelMeasure:
    """Measures predicted labels of held-out rows. Rows of a left entity belong together.

    Predictions are clipped to the labels of training, like the published `value`. The log loss is that of the higher of
    two labels.

    Args:
      metric: `rmse`, `mae`, `log_loss` or `auc`.
      kept: the training rows.
      held: the held-out rows.
    """

    def __init__(self, metric: str, kept: TrainingPairs, held: Pairs) -> None:
        self._of_rows = _OF_ROWS[metric]
        parts = [(part.label.min(), part.label.max()) for part in kept.shuffled(np.random.default_rng(0), _ROWS)]
        self._range = (min(low for low, _ in parts), max(high for _, high in parts))
        self._label = held.label.astype(np.float64)
        self._weight = np.ones(len(held)) if held.weight is None else held.weight.astype(np.float64)
        _, self._unit = np.unique(held.left, return_inverse=True)

    def figure(self, scores: np.ndarray, log_odds: float = 0.0) -> Figure:
        """Returns the metric of scores.

        Args:
          scores: `[rows]`.
          log_odds: the log odds of the higher of two labels at a score of 1. 0 if scores are predicted labels.
        """
        scores, (low, high) = scores.astype(np.float64), self._range
        if self._of_rows is not _auc:
            share = scipy.special.expit(log_odds * scores) if log_odds else (scores - low) / max(high - low, 1e-300)
            scores = low + (high - low) * np.clip(share, 0, 1)
        label = self._label
        if self._of_rows is _log_loss:
            scores, label = (scores - low) / max(high - low, 1e-300), (label > low).astype(np.float64)
        value, influence = self._of_rows(scores, label, self._weight)
        return Figure(value, np.bincount(self._unit, influence))


def _rmse(score: np.ndarray, label: np.ndarray, weight: np.ndarray) -> tuple[float, np.ndarray]:
    squares, total = (score - label) ** 2, weight.sum()
    mean = float(weight @ squares / total)
    return mean**0.5, weight * (squares - mean) / (2 * max(mean, 1e-300) ** 0.5 * total)


def _mae(score: np.ndarray, label: np.ndarray, weight: np.ndarray) -> tuple[float, np.ndarray]:
    errors, total = np.abs(score - label), weight.sum()
    mean = float(weight @ errors / total)
    return mean, weight * (errors - mean) / total


def _log_loss(probability: np.ndarray, label: np.ndarray, weight: np.ndarray) -> tuple[float, np.ndarray]:
    probability = np.clip(probability, _LEAST_PROBABILITY, 1 - _LEAST_PROBABILITY)
    losses, total = -np.log(np.where(label > 0, probability, 1 - probability)), weight.sum()
    mean = float(weight @ losses / total)
    return mean, weight * (losses - mean) / total


def _auc(score: np.ndarray, label: np.ndarray, weight: np.ndarray) -> tuple[float, np.ndarray]:
    """Returns the area under the ROC curve, and its structural components (DeLong et al. 1988, section 2)."""
    positive = label > 0
    weights = [np.where(positive, weight, 0.0), np.where(positive, 0.0, weight)]
    totals = [part.sum() for part in weights]
    if not all(totals):
        return 0.5, np.zeros(len(score))
    _, place = np.unique(score, return_inverse=True)
    at = [np.bincount(place, part) / total for part, total in zip(weights, totals, strict=True)]
    below = (np.cumsum(at[1]) - at[1] / 2)[place]  # the share of negatives with a lower score, of a positive
    above = (1 - np.cumsum(at[0]) + at[0] / 2)[place]  # the share of positives with a higher score, of a negative
    area = float(weights[0] @ below / totals[0])
    return area, weights[0] * (below - area) / totals[0] + weights[1] * (above - area) / totals[1]


_OF_ROWS: dict[str, Callable[[np.ndarray, np.ndarray, np.ndarray], tuple[float, np.ndarray]]] = {
    RMSE: _rmse,
    MAE: _mae,
    LOG_LOSS: _log_loss,
    AUC: _auc,
}


def is_rising(metric: str) -> bool:
    """Whether larger values of `metric` are better."""
    return metric not in (RMSE, MAE, LOG_LOSS)
