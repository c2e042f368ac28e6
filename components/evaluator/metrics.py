"""Score metrics in NumPy on whole columns, with a weight for each row.

`value` is in the unit of the raw scores, and `score` is signed. A label is positive if it is above the center.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable

import numpy as np

_BINS = 10


@dataclasses.dataclass(frozen=True)
class Answers:
    """Predictions of one model.

    Attributes:
      value: in the unit of the raw scores, float64 `[n]`.
      score: signed score, float64 `[n]`.
    """

    value: np.ndarray
    score: np.ndarray


@dataclasses.dataclass(frozen=True)
class Labels:
    """Labels of the rows.

    Attributes:
      value: raw score, float64 `[n]`.
      positive: whether the raw score is above the center, bool `[n]`.
    """

    value: np.ndarray
    positive: np.ndarray


@dataclasses.dataclass(frozen=True)
class Additive:
    """A metric that is a function of sums over rows, so that resampling only adds up."""

    parts: Callable[[Labels, Answers], np.ndarray]  # -> [n, p]
    of_means: Callable[[np.ndarray], np.ndarray]  # means of the parts [..., p] -> [...]


def _squares(labels: Labels, answers: Answers) -> np.ndarray:
    return np.square(answers.value - labels.value)[:, None]


def _distances(labels: Labels, answers: Answers) -> np.ndarray:
    return np.abs(answers.value - labels.value)[:, None]


def _right_signs(labels: Labels, answers: Answers) -> np.ndarray:
    return ((answers.score > 0) == labels.positive)[:, None].astype(np.float64)


def _errors_by_bin(labels: Labels, answers: Answers) -> np.ndarray:
    """Returns each row's error in the column of its bin: tenths of the rows by value, equal values together."""
    edges = np.unique(np.quantile(answers.value, np.arange(1, _BINS) / _BINS)) if len(answers.value) else np.zeros(0)
    columns = np.zeros((len(answers.value), _BINS))
    columns[np.arange(len(columns)), np.searchsorted(edges, answers.value, "right")] = answers.value - labels.value
    return columns


# rmse: root mean squared error. mae: mean absolute error. sign_accuracy: share of rows whose score and label have the
# same sign. calibration: mean distance between mean value and mean label in ten bins by value (the expected calibration
# error of Naeini et al. 2015, for numbers instead of probabilities).
ADDITIVE = {
    "rmse": Additive(_squares, lambda means: np.sqrt(means[..., 0])),
    "mae": Additive(_distances, lambda means: means[..., 0]),
    "sign_accuracy": Additive(_right_signs, lambda means: means[..., 0]),
    "calibration": Additive(_errors_by_bin, lambda means: np.abs(means).sum(axis=-1)),
}


class Order:
    """The order of values with their ties, computed once for any number of weightings."""

    def __init__(self, values: np.ndarray) -> None:
        self.rows = np.argsort(values, kind="stable")
        ordered = values[self.rows]
        self._first = np.concatenate([[True], ordered[1:] != ordered[:-1]])[: len(values)]
        self._starts = np.flatnonzero(self._first)

    @functools.cached_property
    def group(self) -> np.ndarray:
        """Index of each row's value among the distinct values in ascending order, int64 `[n]`."""
        group = np.empty(len(self.rows), np.int64)
        group[self.rows] = np.cumsum(self._first) - 1
        return group

    def sums(self, ordered: np.ndarray) -> np.ndarray:
        """Returns the sum of weights `[n]`, in the order of the values, over each group of equal values."""
        return ordered if len(self._starts) == len(ordered) else np.add.reduceat(ordered, self._starts)

    def ranks(self, weights: np.ndarray) -> np.ndarray:
        """Returns the mid-rank of each row: the weight below it plus half of the weight equal to it."""
        sums = self.sums(weights[self.rows])
        return np.asarray((np.cumsum(sums) - sums / 2)[self.group])


def auc(order: Order, positive: np.ndarray, weights: np.ndarray) -> float:
    """Returns the probability that a positive row scores above a negative one (Hanley & McNeil 1982).

    A tie counts half. The result is NaN without both kinds of rows.

    Args:
      order: order of the scores.
      positive: 1 or 0 for each row, `[n]`, in that order.
      weights: weight of each row, `[n]`, in that order.
    """
    of_positive = weights * positive
    above, below = order.sums(of_positive), order.sums(weights - of_positive)
    total = above.sum() * below.sum()
    return float(above @ (np.cumsum(below) - below / 2) / total) if total else float("nan")


def spearman(values: Order, labels: Order, weights: np.ndarray) -> float:
    """Returns the correlation of mid-ranks (Spearman 1904): 0 for constant values, NaN for constant labels."""
    a, b = values.ranks(weights), labels.ranks(weights)
    total = weights.sum()
    if not total:
        return float("nan")
    a, b = a - a @ weights / total, b - b @ weights / total
    of_values, of_labels = np.square(a) @ weights, np.square(b) @ weights
    if not of_labels:
        return float("nan")
    return float((a * b) @ weights / np.sqrt(of_values * of_labels)) if of_values else 0.0


def ranked(metric: str, labels: Labels, answers: Answers) -> Callable[[np.ndarray], float]:
    """Returns `auc` or `spearman` as a function of weights `[n]`."""
    if not len(labels.value):
        return lambda weights: float("nan")
    if metric == "auc":
        scores = Order(answers.score)
        positive = labels.positive[scores.rows].astype(np.float64)
        return lambda weights: auc(scores, positive, weights[scores.rows])
    by_value, by_label = Order(answers.value), Order(labels.value)
    return lambda weights: spearman(by_value, by_label, weights)
