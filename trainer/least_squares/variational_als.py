"""Least squares with biases for scored pairs. It learns its regularization by variational Bayes."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator

import numpy as np
import scipy.sparse

from trainer.data.pairs import Pairs
from trainer.least_squares.implicit_prior import ImplicitPrior
from trainer.least_squares.interactions import in_parallel
from trainer.model.table_sizes import TableSizes
from trainer.settings import AlsSettings, ModelSettings

# Entities whose normal equations are in memory at a time.
_BLOCK = 256
# Pairs that are scored at a time.
_PAIRS = 1 << 18
_LEAST_VARIANCE = 1e-8
# The initial noise, as a share of the variance of the labels.
_FIRST_NOISE = 0.8
_FIRST_DEVIATION = 0.1


@dataclasses.dataclass
class _SidePosterior:
    """One side: its pairs, and the posterior of its rows.

    Attributes:
      weights: sparse `[entities, others]`, the weight w of each pair.
      labels: sparse `[entities, others]`, w (label - offset) of each pair, with the same structure.
      mean: float64 `[entities, k]`, the posterior mean of each row (vector, bias).
      covariance: float32 `[entities, k, k]`, the posterior covariance of each row.
      prior: float64 `[k]`, the prior variance of rows.
      implicit: the prior mean of rows, or None for 0.
    """

    weights: scipy.sparse.csr_matrix
    labels: scipy.sparse.csr_matrix
    mean: np.ndarray
    covariance: np.ndarray
    prior: np.ndarray
    implicit: ImplicitPrior | None

    @property
    def center(self) -> np.ndarray:
        """The prior mean of each row, `[entities, k]` or `[1, k]` for all."""
        return np.zeros((1, self.mean.shape[1])) if self.implicit is None else self.implicit.means

    @property
    def touched(self) -> np.ndarray:
        """Whether each entity has a pair, bool `[entities]`."""
        return np.diff(self.weights.indptr) > 0


class VariationalAls:
    """Biased matrix factorization by variational Bayes. The bias is one more number of each row.

    Follows Lim & Teh 2007, "Variational Bayesian approach to movie rating prediction", section 3:

        score = offset + p.q + b + c

    The noise has variance s2, rows have the prior N(m, diag(v)), and offset is the mean label. A row x = (p, b) has a
    normal posterior. With the posterior of the other side fixed, z = (q, 1), and <> as the mean over that posterior:

        covariance = (diag(1 / v) + sum over its pairs of w <z z'> / s2)^-1
        mean = covariance (m / v + sum over its pairs of w <(label - offset - c) z> / s2)

    Then v is the mean over the side of <(x - m)^2>, and s2 the mean over the pairs of <(label - score)^2>. The prior
    mean m is that of `ImplicitPrior`, or 0 without `train.als.implicit`. Rows with few pairs shrink to it because of
    their own uncertainty and that of their partners. With `train.als.ridge`, the variance of the vectors is s2 / ridge
    instead of learned, as if each row had `ridge` more pairs at m. Labels are divided by their standard deviation
    first. A sweep costs O(n d^2 + entities d^3) time.
    """

    def __init__(self, pairs: Pairs, sizes: TableSizes, model: ModelSettings, als: AlsSettings, seed: int) -> None:
        random = np.random.default_rng(seed)
        self._implicit = als.implicit
        weight = np.ones(len(pairs), np.float64) if pairs.weight is None else pairs.weight.astype(np.float64)
        label = pairs.label.astype(np.float64)
        self._pairs = pairs
        self._biased, self._d = model.bias, model.dimension
        self._weight = float(weight.sum())
        self._offset = np.array(weight @ label / self._weight if model.bias else 0.0)
        label -= self.offset
        self._unit = self._unit_of(float(weight @ label**2 / self._weight) ** 0.5)
        label /= self._unit
        self._squares = float(weight @ label**2)
        variance = max(self._squares / self._weight, _LEAST_VARIANCE)
        # The penalty is that of labels in their own unit.
        self._ridge = als.ridge and als.ridge / self._unit
        shape = (sizes.left, sizes.right)
        of_left = [
            scipy.sparse.csr_matrix((v, (pairs.left, pairs.right)), shape=shape) for v in (weight, weight * label)
        ]
        of_right = [matrix.T.tocsr() for matrix in of_left]
        self._sides = [self._side(weights, labels, random) for weights, labels in (of_left, of_right)]
        self._noise = np.array(_FIRST_NOISE * variance)
        if self._ridge is not None:
            for side in self._sides:
                side.prior[: self._d] = self._noise / self._ridge

    @staticmethod
    def _unit_of(deviation: float) -> float:
        """Returns the unit of labels in which the rows are solved, so that no constant depends on the scores."""
        return deviation or 1.0

    def _side(
        self,
        weights: scipy.sparse.csr_matrix,
        labels: scipy.sparse.csr_matrix,
        random: np.random.Generator,
    ) -> _SidePosterior:
        entities, width = weights.shape[0], self._d + self._biased
        mean = np.zeros((entities, width))
        mean[:, : self._d] = random.standard_normal((entities, self._d)) * _FIRST_DEVIATION
        mean[np.diff(weights.indptr) == 0] = 0
        covariance = np.zeros((entities, width, width), np.float32)
        implicit = None if self._implicit is None else ImplicitPrior(weights, width, self._implicit)
        return _SidePosterior(
            weights.astype(np.float32), labels.astype(np.float32), mean, covariance, np.ones(width), implicit
        )

    def start_from(self, tables: list[np.ndarray]) -> None:
        """Starts from left and right vectors `[rows, d]` instead of random ones."""
        for side, table in zip(self._sides, tables, strict=True):
            side.mean[:, : self._d] = table / self._unit**0.5

    @property
    def offset(self) -> float:
        """The mean label, or 0 without biases."""
        return float(self._offset)

    @property
    def state(self) -> list[np.ndarray]:
        """The complete state: everything that determines the next sweep, and the tables."""
        left, right = self._sides
        implicit = (side.implicit.vectors for side in self._sides if side.implicit is not None)
        return [left.mean, right.mean, right.covariance, left.prior, right.prior, self._noise, *implicit]

    @property
    def tables(self) -> list[np.ndarray]:
        """Left and right vectors, float32 `[rows, d]`."""
        return [(side.mean[:, : self._d] * self._unit**0.5).astype(np.float32) for side in self._sides]

    @property
    def biases(self) -> list[np.ndarray] | None:
        """Left and right biases, float32 `[rows]`, or None."""
        found = [(side.mean[:, self._d] * self._unit).astype(np.float32) for side in self._sides if self._biased]
        return found or None

    def sweep(self) -> dict[str, float]:
        """Solves for every left row, then for every right row. Returns `loss` and `rmse` of the training pairs."""
        self._solve(self._sides[0], self._sides[1])
        expected = self._solve(self._sides[1], self._sides[0])
        self._noise[...] = max(expected / self._weight, _LEAST_VARIANCE)
        return self.measure(self._pairs)

    def measure(self, pairs: Pairs) -> dict[str, float]:
        """Measures some pairs. See `measure_scores`."""
        (left, right), d = (side.mean for side in self._sides), self._d

        def score(part: Pairs) -> np.ndarray:
            scores = np.einsum("nd,nd->n", left[part.left, :d], right[part.right, :d])
            scores += left[part.left, d] + right[part.right, d] if self._biased else 0
            return np.asarray(scores * self._unit + self.offset)

        return self.measure_scores(score, pairs)

    @staticmethod
    def measure_scores(score: Callable[[Pairs], np.ndarray], pairs: Pairs) -> dict[str, float]:
        """Measures scores.

        Args:
          score: returns the scores `[b]` of some pairs.
          pairs: the pairs to measure.

        Returns:
          `loss`, the weighted mean over `pairs` of (label - score)^2, and `rmse`, its square root.
        """
        loss = mean_of(lambda part: (part.label - score(part)).astype(np.float64) ** 2, pairs)
        return {"loss": loss, "rmse": loss**0.5}

    def _solve(self, own: _SidePosterior, other: _SidePosterior) -> float:
        """Computes the posterior of `own`. Returns the sum over the pairs of w <(label - score)^2> with it."""
        moments, bias_moments = self._moments(other)
        pull = np.broadcast_to(own.center / own.prior, own.mean.shape)
        residuals, noise = np.zeros(len(own.mean)), float(self._noise)

        def solve(rows: slice) -> None:
            weights, labels = own.weights[rows], own.labels[rows]
            second = _unpacked(weights @ moments, own.mean.shape[1])  # sum of w <z z'>, [b, k, k]
            first = (labels @ self._design(other) - weights @ bias_moments).astype(np.float64)  # sum of w <(l - c) z>
            own.covariance[rows] = covariance = np.linalg.inv(second / noise + np.diag(1 / own.prior))
            own.mean[rows] = mean = np.einsum("bij,bj->bi", covariance, first / noise + pull[rows])
            outer = mean[:, :, None] * mean[:, None, :] + covariance
            residuals[rows] = np.einsum("bij,bij->b", outer, second) - 2 * np.einsum("bi,bi->b", mean, first)

        in_parallel(solve, _blocks(len(own.mean)))
        touched = own.touched
        spread = ((own.mean - own.center)[touched] ** 2).mean(axis=0)
        spread += np.einsum("bii->bi", own.covariance)[touched].mean(axis=0, dtype=np.float64)
        if self._ridge:
            spread[: self._d] = self._noise / self._ridge
        own.prior[...] = np.maximum(spread, _LEAST_VARIANCE)
        own.mean[~touched], own.covariance[~touched] = 0, np.diag(own.prior)
        if own.implicit:
            own.implicit.fit(own.mean)
        return float(residuals.sum()) + self._squares_less_bias(other)

    def _design(self, side: _SidePosterior) -> np.ndarray:
        """Returns means of z, float32 `[entities, k]`: the vectors, and 1 for the bias of the other side."""
        design = side.mean.astype(np.float32)
        if self._biased:
            design[:, self._d] = 1
        return design

    def _moments(self, side: _SidePosterior) -> tuple[np.ndarray, np.ndarray]:
        """Returns <z z'> and <c z> of each entity.

        <z z'> is an upper triangle `[entities, k (k + 1) / 2]`, and <c z> is `[entities, k]`.
        """
        design, d = self._design(side), self._d
        row, column = np.triu_indices(design.shape[1])
        packed = design[:, row] * design[:, column]
        of_vectors = (row < d) & (column < d)
        packed[:, of_vectors] += side.covariance[:, row[of_vectors], column[of_vectors]]
        bias = np.zeros_like(design)
        if self._biased:
            bias += side.mean[:, d:].astype(np.float32) * design
            bias[:, :d] += side.covariance[:, :d, d]
        return packed, bias

    def _squares_less_bias(self, other: _SidePosterior) -> float:
        """Returns the sum over the pairs of w <(label - offset - c)^2>."""
        if not self._biased:
            return self._squares
        d = self._d
        weights = np.asarray(other.weights.sum(axis=1, dtype=np.float64)).ravel()
        labels = np.asarray(other.labels.sum(axis=1, dtype=np.float64)).ravel()
        bias = other.mean[:, d]
        return self._squares + float(weights @ (bias**2 + other.covariance[:, d, d]) - 2 * labels @ bias)


def mean_of(values: Callable[[Pairs], np.ndarray], pairs: Pairs) -> float:
    """Returns the weighted mean over `pairs` of `values`, float64 `[b]` of some pairs."""
    total = weights = 0.0
    for part in pairs.in_order(_PAIRS):
        found = values(part)
        total += float(found.sum() if part.weight is None else part.weight @ found)
        weights += float(len(part) if part.weight is None else part.weight.sum(dtype=np.float64))
    return total / weights


def _blocks(entities: int) -> Iterator[slice]:
    return (slice(start, min(start + _BLOCK, entities)) for start in range(0, entities, _BLOCK))


def _unpacked(packed: np.ndarray, width: int) -> np.ndarray:
    """Returns symmetric matrices float64 `[b, k, k]` of upper triangles `[b, k (k + 1) / 2]`."""
    row, column = np.triu_indices(width)
    whole = np.empty((len(packed), width, width))
    whole[:, row, column] = packed
    whole[:, column, row] = packed
    return whole
