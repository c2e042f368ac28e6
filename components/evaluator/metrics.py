"""Score metrics in NumPy on whole columns, with a weight for each row.

`value` is in the unit of the raw scores, and `score` is signed. A label is positive if it is above the center.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable

import numpy as np

from components.sorted_values import quantiles

_BINS = 10


@dataclasses.dataclass(frozen=True)
class Answers:
    """Predictions of one model.

    Attributes:
      value: in the unit of the raw scores, float64 `[n]`. It never falls where the score rises.
      score: signed score, float64 `[n]`.
    """

    value: np.ndarray
    score: np.ndarray

    @functools.cached_property
    def by_score(self) -> Order:
        """The order of the scores."""
        return Order.of(self.score)

    @functools.cached_property
    def by_value(self) -> Order:
        """The order of the values: that of the scores, with ties where a value is too coarse to tell them apart."""
        return self.by_score.with_ties_of(self.value)

    def take(self, rows: np.ndarray) -> Answers:
        """Returns the rows of a mask, bool `[n]`, in their known order."""
        taken = Answers(self.value[rows], self.score[rows])
        taken.__dict__.update(by_score=self.by_score.take(rows).with_ties_of(taken.score))
        return taken


@dataclasses.dataclass(frozen=True)
class Labels:
    """Labels of the rows.

    Attributes:
      value: raw score, float64 `[n]`.
      positive: whether the raw score is above the center, bool `[n]`.
      weight: how much each row counts, float64 `[n]`, or None if all count the same.
    """

    value: np.ndarray
    positive: np.ndarray
    weight: np.ndarray | None = None

    @functools.cached_property
    def weights(self) -> np.ndarray:
        """The weight of each row, float64 `[n]`."""
        return np.ones(len(self.value)) if self.weight is None else self.weight

    @functools.cached_property
    def by_value(self) -> Order:
        """The order of the labels."""
        return Order.of(self.value)

    def take(self, rows: np.ndarray) -> Labels:
        """Returns the rows of a mask, bool `[n]`, in their known order."""
        weight = None if self.weight is None else self.weight[rows]
        taken = Labels(self.value[rows], self.positive[rows], weight)
        taken.__dict__.update(by_value=self.by_value.take(rows).with_ties_of(taken.value))
        return taken


@dataclasses.dataclass(frozen=True)
class Parts:
    """What each row adds to a metric: `weight` times `value` `[n]`, to the sum number `column` of `width` sums."""

    value: np.ndarray
    weight: np.ndarray | None = None
    column: np.ndarray | None = None
    width: int = 1

    def sums(self, group: np.ndarray, groups: int) -> np.ndarray:
        """Returns the sums of each group of rows, float64 `[groups, width]`; `group` is int64 `[n]`."""
        places = group if self.column is None else group * self.width + self.column
        return np.bincount(places, self._weighted, groups * self.width).reshape(groups, self.width)

    def means(self) -> np.ndarray:
        """Returns the sums of all rows divided by their weight, float64 `[width]`."""
        column = np.zeros(len(self.value), np.int64) if self.column is None else self.column
        total = len(self.value) if self.weight is None else self.weight.sum()
        return np.bincount(column, self._weighted, self.width) / total

    @property
    def _weighted(self) -> np.ndarray:
        return self.value if self.weight is None else self.value * self.weight


@dataclasses.dataclass(frozen=True)
class Additive:
    """A metric that is a function of sums over rows.

    Attributes:
      parts: what each row adds to the sums.
      of_means: the metric of means of the parts, `[..., p]` to `[...]`.
      gradient: the derivative of `of_means`, `[..., p]` to `[..., p]`.
    """

    parts: Callable[[Labels, Answers], Parts]
    of_means: Callable[[np.ndarray], np.ndarray]
    gradient: Callable[[np.ndarray], np.ndarray]


def _squares(labels: Labels, answers: Answers) -> Parts:
    return Parts(np.square(answers.value - labels.value), labels.weight)


def _distances(labels: Labels, answers: Answers) -> Parts:
    return Parts(np.abs(answers.value - labels.value), labels.weight)


def _right_signs(labels: Labels, answers: Answers) -> Parts:
    return Parts(((answers.score > 0) == labels.positive).astype(np.float64), labels.weight)


def _errors_by_bin(labels: Labels, answers: Answers) -> Parts:
    """Returns each row's error in the column of its bin: tenths of the rows by value, equal values together."""
    order = answers.by_value.rows
    weights = None if labels.weight is None else labels.weight[order]
    levels = np.arange(1, _BINS) / _BINS
    edges = np.unique(quantiles(answers.value[order], levels, weights)) if len(order) else np.zeros(0)
    bins = np.searchsorted(edges, answers.value, "right")
    return Parts(answers.value - labels.value, labels.weight, bins, _BINS)


def _of_root(means: np.ndarray) -> np.ndarray:
    """Returns the derivative of a square root, and 0 at 0, where every error is 0."""
    return np.divide(0.5, np.sqrt(means), out=np.zeros_like(means), where=means > 0)


# rmse: root mean squared error. mae: mean absolute error. sign_accuracy: share of rows whose score and label have the
# same sign. calibration: mean distance between mean value and mean label in ten bins by value (the expected calibration
# error of Naeini et al. 2015, for numbers instead of probabilities).
ADDITIVE = {
    "rmse": Additive(_squares, lambda means: np.sqrt(means[..., 0]), _of_root),
    "mae": Additive(_distances, lambda means: means[..., 0], np.ones_like),
    "sign_accuracy": Additive(_right_signs, lambda means: means[..., 0], np.ones_like),
    "calibration": Additive(_errors_by_bin, lambda means: np.abs(means).sum(axis=-1), np.sign),
}


# The least and the largest value of each metric.
RANGES = {
    "rmse": (0.0, np.inf), "mae": (0.0, np.inf), "calibration": (0.0, np.inf), "sign_accuracy": (0.0, 1.0),
    "auc": (0.0, 1.0), "spearman": (-1.0, 1.0),
}  # fmt: skip


class Order:
    """The order of values with their ties, computed once for any number of weightings.

    Args:
      rows: the rows in ascending order of their values, int `[n]`.
      first: whether each of these has another value than the row before, bool `[n]`.
    """

    def __init__(self, rows: np.ndarray, first: np.ndarray) -> None:
        self.rows = rows
        self._first = first
        self._starts = np.flatnonzero(first)

    @classmethod
    def of(cls, values: np.ndarray) -> Order:
        """Sorts values `[n]`."""
        rows = np.argsort(values, kind="stable").astype(np.int32 if len(values) < 2**31 else np.int64)
        return cls(rows, _changes(values[rows]))

    def with_ties_of(self, values: np.ndarray) -> Order:
        """Returns the same order with the ties of other `values` `[n]`, which do not fall in this order."""
        return Order(self.rows, _changes(values[self.rows]))

    def take(self, rows: np.ndarray) -> Order:
        """Returns the order of the rows of a mask, bool `[n]`, without sorting and without ties."""
        kept = self.rows[rows[self.rows]]
        number = np.cumsum(rows, dtype=self.rows.dtype) - 1
        return Order(number[kept], np.ones(len(kept), bool))

    @property
    def is_constant(self) -> bool:
        """Whether all values are equal."""
        return len(self._starts) <= 1

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


def _changes(ordered: np.ndarray) -> np.ndarray:
    """Returns whether each of some values `[n]` differs from the one before, bool `[n]`."""
    return np.concatenate([[True], ordered[1:] != ordered[:-1]])[: len(ordered)]


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
    total = weights.sum()
    if not total or labels.is_constant:
        return float("nan")
    if values.is_constant:
        return 0.0
    a, b = values.ranks(weights), labels.ranks(weights)
    counted = weights > 0
    if not counted.all():
        # Ranks are compared before their mean is subtracted: the rest of equal ranks is rounding noise.
        if np.ptp(b[counted]) == 0:
            return float("nan")
        if np.ptp(a[counted]) == 0:
            return 0.0
    a, b = a - a @ weights / total, b - b @ weights / total
    return float((a * b) @ weights / np.sqrt((np.square(a) @ weights) * (np.square(b) @ weights)))


def ranked(metric: str, labels: Labels, answers: Answers) -> Callable[[np.ndarray], float]:
    """Returns `auc` or `spearman` as a function of weights `[n]`."""
    if not len(labels.value):
        return lambda weights: float("nan")
    if metric == "auc":
        scores = answers.by_score
        positive = labels.positive[scores.rows].astype(np.float64)
        return lambda weights: auc(scores, positive, weights[scores.rows])
    return lambda weights: spearman(answers.by_value, labels.by_value, weights)
