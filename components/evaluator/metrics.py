"""Score metrics in NumPy on whole columns, with a weight for each row.

`value` is in the unit of the raw scores, and `score` is signed. A label is positive if it is above the center.

Each metric has a value and an influence: how much the value changes with the weight of each row, times that weight. The
influence adds up to 0, and its sums over groups of rows give the standard error of the value (the delta method).
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable

import numpy as np

from components.evaluator.levels import Levels, Ranks
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
    def levels(self) -> Levels:
        """The levels of the scores, with their values. Levels tie where a value is too coarse to tell them apart."""
        return Levels.of(self.score, self.value)

    def take(self, rows: np.ndarray) -> Answers:
        """Returns the given rows."""
        taken = Answers(self.value[rows], self.score[rows])
        taken.__dict__.update(levels=self.levels.take(rows))
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
    def total(self) -> float:
        """The weight of all rows."""
        return float(self.weights.sum())

    @functools.cached_property
    def levels(self) -> Levels:
        """The levels of the labels."""
        return Levels.of(self.value, self.value)

    @functools.cached_property
    def ranks(self) -> Ranks:
        """The ranks of the labels."""
        return Ranks.of(self.levels, self.levels.sums(self.weight))

    def take(self, rows: np.ndarray) -> Labels:
        """Returns the given rows."""
        taken = Labels(self.value[rows], self.positive[rows], None if self.weight is None else self.weight[rows])
        taken.__dict__.update(levels=self.levels.take(rows))
        return taken


@dataclasses.dataclass(frozen=True)
class Outcome:
    """Labels, and the predictions of one model on the same rows."""

    labels: Labels
    answers: Answers

    @functools.cached_property
    def error(self) -> np.ndarray:
        """Value minus label, float64 `[n]`."""
        return self.answers.value - self.labels.value

    @functools.cached_property
    def right_signs(self) -> np.ndarray:
        """Whether score and label have the same sign, bool `[n]`."""
        return (self.answers.score > 0) == self.labels.positive

    @functools.cached_property
    def by_class(self) -> np.ndarray:
        """The weight of the negative and of the positive rows of each level of the scores, `[2, levels]`."""
        levels = self.answers.levels
        count = len(levels.values)
        places = levels.of_row + self.labels.positive * np.intp(count)
        return np.bincount(places, self.labels.weight, 2 * count).reshape(2, count)

    @functools.cached_property
    def by_level(self) -> np.ndarray:
        """The weight of the rows of each level of the scores, `[levels]`."""
        below, above = self.by_class
        return np.asarray(below + above)

    @functools.cached_property
    def ranks(self) -> Ranks:
        """The ranks of the values."""
        return Ranks.of(self.answers.levels, self.by_level)

    @functools.cached_property
    def bins(self) -> np.ndarray:
        """The first level of each bin and the end of the last, `[bins + 1]`: tenths by value, equal values together."""
        values, weight = self.answers.levels.values, self.by_level
        held = weight > 0
        shares = np.arange(1, _BINS) / _BINS
        edges = np.unique(quantiles(values[held], shares, weight[held], len(self.error)))
        return np.array([0, *np.searchsorted(values, edges), len(values)])

    @functools.cached_property
    def errors_of_bins(self) -> np.ndarray:
        """The weighted sum of the errors of each bin, `[bins]`."""
        weight = self.labels.weight
        of_levels = self.answers.levels.sums(self.error if weight is None else self.error * weight)
        return np.array([of_levels[start:end].sum() for start, end in zip(self.bins[:-1], self.bins[1:], strict=True)])


def _mean(amounts: np.ndarray, labels: Labels) -> float:
    return float((amounts.sum() if labels.weight is None else amounts @ labels.weight) / labels.total)


def _deviations(amounts: np.ndarray, labels: Labels) -> np.ndarray:
    """Returns the influence of a mean of `amounts`."""
    return (amounts - _mean(amounts, labels)) * labels.weights / labels.total


def _rmse(of: Outcome) -> float:
    return float(np.sqrt(_mean(np.square(of.error), of.labels)))


def _rmse_influence(of: Outcome) -> np.ndarray:
    value = _rmse(of)
    # At 0, every error is 0.
    return _deviations(np.square(of.error), of.labels) / (2 * value if value else 1.0)


def _calibration(of: Outcome) -> float:
    """The mean distance between mean value and mean label in ten bins by value.

    This is the expected calibration error of Naeini et al. 2015, for numbers instead of probabilities.
    """
    return float(np.abs(of.errors_of_bins).sum() / of.labels.total)


def _calibration_influence(of: Outcome) -> np.ndarray:
    signs = np.repeat(np.sign(of.errors_of_bins), np.diff(of.bins))
    return _deviations(signs[of.answers.levels.of_row] * of.error, of.labels)


def _auc(of: Outcome) -> float:
    """The probability that a positive row scores above a negative one, where a tie counts half.

    Source: Hanley & McNeil 1982. NaN without both kinds of rows.
    """
    below, above = of.by_class
    total = float(above.sum()) * float(below.sum())
    return float(above @ (np.cumsum(below) - below / 2) / total) if total else float("nan")


def _auc_influence(of: Outcome) -> np.ndarray:
    """The placement of each row among the rows of the other class (DeLong et al. 1988, Obuchowski 1997)."""
    value, positive, levels = _auc(of), of.labels.positive, of.answers.levels.of_row
    below, above = of.by_class.astype(np.float64)
    negatives, positives = below.sum(), above.sum()
    under = (np.cumsum(below) - below / 2) / negatives
    over = 1 - (np.cumsum(above) - above / 2) / positives
    placement = np.where(positive, under[levels], over[levels])
    return (placement - value) * of.labels.weights / np.where(positive, positives, negatives)


def _spearman(of: Outcome) -> float:
    """The correlation of mid-ranks (Spearman 1904): 0 for constant values, NaN for constant labels."""
    a, b = of.ranks, of.labels.ranks
    if not b.squares or not a.squares:
        return 0.0 if b.squares else float("nan")
    product = a.of_row @ b.of_row if of.labels.weight is None else (a.of_row * of.labels.weight) @ b.of_row
    return float(product / np.sqrt(a.squares * b.squares))


def _spearman_influence(of: Outcome) -> np.ndarray:
    """The derivative by the weights of rows, which are part of the sums and move the ranks of the rows above."""
    a, b, value, weights = of.ranks, of.labels.ranks, _spearman(of), of.labels.weights
    if not a.squares:
        return np.zeros(len(weights))
    scale = np.sqrt(a.squares * b.squares)
    found = a.of_row * b.of_row / scale - value / 2 * (
        np.square(a.of_row) / a.squares + np.square(b.of_row) / b.squares
    )
    for own, other in ((a, b), (b, a)):
        slope = weights * (other.of_row / scale - value * own.of_row / own.squares)
        # The slopes add up to 0, so the sum above a row is minus the sum below it.
        found -= own.below(slope)
    return np.asarray(found * weights)


@dataclasses.dataclass(frozen=True)
class Metric:
    """A score metric.

    Attributes:
      value: of at least one row.
      influence: of each row, float64 `[n]`, where the value is finite.
      least: the least possible value.
      most: the largest possible value.
    """

    value: Callable[[Outcome], float]
    influence: Callable[[Outcome], np.ndarray]
    least: float = 0.0
    most: float = 1.0


METRICS = {
    "rmse": Metric(_rmse, _rmse_influence, most=np.inf),
    "mae": Metric(
        lambda of: _mean(np.abs(of.error), of.labels), lambda of: _deviations(np.abs(of.error), of.labels), most=np.inf
    ),
    "auc": Metric(_auc, _auc_influence),
    "sign_accuracy": Metric(
        lambda of: _mean(of.right_signs, of.labels), lambda of: _deviations(of.right_signs, of.labels)
    ),
    "spearman": Metric(_spearman, _spearman_influence, least=-1.0),
    "calibration": Metric(_calibration, _calibration_influence, most=np.inf),
}
