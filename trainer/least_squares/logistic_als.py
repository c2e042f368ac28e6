"""Least squares for the sign of labels: a factorization of log odds by variational Bayes."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import scipy.sparse
import scipy.special

from trainer.data.pairs import Pairs
from trainer.least_squares.interactions import in_parallel
from trainer.least_squares.variational_als import VariationalAls, mean_of
from trainer.model.table_sizes import TableSizes
from trainer.settings import AlsSettings, ModelSettings

# Numbers that are gathered at a time.
_NUMBERS = 1 << 22
_LEAST = 1e-4


class LogisticAls(VariationalAls):
    """Biased factorization of log odds, with the priors and the sweeps of `VariationalAls`.

    A label above 0 counts as y = 1, another one as y = -1. The log loss of a score s has the bound

        log(1 + exp(-y s)) <= omega(x) (s^2 - x^2) / 2 - y s / 2 + log(2 cosh(x / 2)), omega(x) = tanh(x / 2) / (2 x)

    for every x, which is tightest at x^2 = <s^2> (Jaakkola & Jordan 2000, "Bayesian parameter estimation via
    variational methods", section 3). Except for constants, it is the squared error of s from the label y / (2 omega),
    with the weight omega and noise 1. So a sweep finds x of each pair, and then solves the least squares of
    `VariationalAls`.
    """

    def __init__(self, pairs: Pairs, sizes: TableSizes, model: ModelSettings, als: AlsSettings, seed: int) -> None:
        halves = np.where(pairs.label > 0, np.float32(0.5), np.float32(-0.5))
        super().__init__(Pairs(pairs.left, pairs.right, halves, pairs.weight), sizes, model, als, seed)
        weights, labels = self._sides[0].weights, self._sides[0].labels
        # The summed weight of the rows of each distinct pair, and the sum of w y / 2.
        self._counts = weights.data.astype(np.float64)
        self._halves = labels.data + self.offset * self._counts
        self._rows = np.repeat(np.arange(weights.shape[0]), np.diff(weights.indptr))
        places = scipy.sparse.csr_matrix((np.arange(weights.nnz), weights.indices, weights.indptr), weights.shape)
        self._of_right = places.T.tocsr().data
        if model.bias:
            self._offset[...] = scipy.special.logit(np.clip(self.offset + 0.5, _LEAST, 1 - _LEAST))
        self._noise[...] = 1
        if als.ridge is not None:
            for side in self._sides:
                side.prior[: self._d] = 1 / als.ridge

    @staticmethod
    def _unit_of(deviation: float) -> float:
        """Returns 1, because log odds have no unit."""
        return 1.0

    @property
    def state(self) -> list[np.ndarray]:
        """The complete state: everything that determines the next sweep, and the tables."""
        return [*super().state, self._sides[0].covariance, self._offset]

    def sweep(self) -> dict[str, float]:
        """Tightens the bounds, and solves for every row. Returns `loss` of the training pairs."""
        self._tighten()
        self._solve(self._sides[0], self._sides[1])
        self._solve(self._sides[1], self._sides[0])
        return self.measure(self._pairs)

    @staticmethod
    def measure_scores(score: Callable[[Pairs], np.ndarray], pairs: Pairs) -> dict[str, float]:
        """Returns `loss`, the weighted mean over `pairs` of log(1 + exp(-y score))."""

        def losses(part: Pairs) -> np.ndarray:
            scores = score(part).astype(np.float64)
            return np.logaddexp(0, np.where(part.label > 0, -scores, scores))

        return {"loss": mean_of(losses, pairs)}

    def _tighten(self) -> None:
        """Sets the weights and labels of both sides, and the offset, to those of the tightest bounds."""
        means, squares = self._moments_of_pairs()
        bounds = np.sqrt(np.maximum(squares + 2 * self.offset * means + self.offset**2, _LEAST**2))
        weights = self._counts * np.tanh(bounds / 2) / (2 * bounds)
        if self._biased:
            self._offset[...] = (self._halves.sum() - weights @ means) / weights.sum()
        labels = self._halves - weights * self.offset
        for side, order in zip(self._sides, (slice(None), self._of_right), strict=True):
            side.weights.data[...], side.labels.data[...] = weights[order], labels[order]

    def _moments_of_pairs(self) -> tuple[np.ndarray, np.ndarray]:
        """Returns <s> and <s^2> of each distinct pair, where s is the score without the offset, float64 `[n]`."""
        (left, of_left), (right, of_right) = (self._factors(number) for number in (0, 1))
        columns, width = self._sides[0].weights.indices, of_left.shape[1]
        row, column = np.triu_indices(left.shape[1])
        # Each product of two different numbers is in the sum twice.
        of_right *= np.where(row == column, np.float32(1), np.float32(2))
        means, squares = np.empty(len(columns)), np.empty(len(columns))

        def moments(part: slice) -> None:
            one, other = self._rows[part], columns[part]
            means[part] = np.einsum("nk,nk->n", left[one], right[other])
            squares[part] = np.einsum("nk,nk->n", of_left[one], of_right[other])

        in_parallel(moments, _parts(len(columns), max(_NUMBERS // width, 1)))
        return means, squares

    def _factors(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        """Returns the factors of one side, and their second moments as upper triangles, float32.

        With biases, the factors are (p, b, 1) and (q, 1, c), so that the score is their product plus the offset.
        """
        side, width = self._sides[number], self._d + 2 * self._biased
        taken = [*range(self._d), self._d + number] if self._biased else [*range(self._d)]
        factors = np.ones((len(side.mean), width), np.float32)
        factors[:, taken] = side.mean
        row, column = np.triu_indices(width)
        second = factors[:, row] * factors[:, column]
        varies = np.isin(row, taken) & np.isin(column, taken)
        place = np.searchsorted(taken, np.arange(width))
        second[:, varies] += side.covariance[:, place[row[varies]], place[column[varies]]]
        return factors, second


def _parts(count: int, size: int) -> Iterator[slice]:
    return (slice(start, min(start + size, count)) for start in range(0, count, size))
