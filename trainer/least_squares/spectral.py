"""The closest factorization of all pairs in closed form, for data with only positives: a truncated SVD."""

from __future__ import annotations

import numpy as np
import scipy.linalg

from trainer.data.pairs import Pairs
from trainer.least_squares.interactions import Interactions, gramian
from trainer.model.table_sizes import TableSizes
from trainer.settings import AlsSettings, ModelSettings

# Sweeps after which the directions hardly change.
ENOUGH_SWEEPS = 5
# More directions than needed, so that the last ones are also exact (Halko, Martinsson & Tropp 2011, section 1.3).
_OVERSAMPLING = 16
# The smallest eigenvalue of a Gramian that is more than rounding, relative to the largest.
_LEAST_EIGENVALUE = 1e-7


class Spectral:
    """Least squares over every pair of entities, with weights that fall with the popularity of both.

        loss = sum over all pairs of (r - p.q)^2 / (n_left n_right)^(2 a)

    Here r is the weight of a pair, 0 for pairs that were not seen, n the summed weight of the pairs of an entity, and a
    `model.popularity_exponent`. With A = N_left^-a R N_right^-a, the best tables of d columns are N_left^a U S and
    N_right^a V, of the first d singular values and vectors of A (Eckart & Young 1936). A ranking with these tables is
    the ideal low-pass filter of Shen et al. 2021, "How powerful is graph convolution for recommendation?", section 4.2,
    whose a is 1/2.

    A sweep is a step of subspace iteration (Halko, Martinsson & Tropp 2011, algorithm 4.4). It costs O(n d + entities
    d^2).
    """

    def __init__(self, pairs: Pairs, sizes: TableSizes, model: ModelSettings, als: AlsSettings, seed: int) -> None:
        shape = (sizes.left, sizes.right)
        side = Interactions.of(pairs.left, pairs.right, pairs.weight, shape)
        counts = (side.counts, np.asarray(side.matrix.sum(axis=0, dtype=np.float64)).ravel())
        self._scales = [np.maximum(count, 1e-12) ** model.popularity_exponent for count in counts]
        divisors = self._scales[0][pairs.left] * self._scales[1][pairs.right]
        weights = (1 if pairs.weight is None else pairs.weight) / divisors
        self._matrix = Interactions.of(pairs.left, pairs.right, weights, shape).matrix
        self._transposed = self._matrix.T.tocsr()
        self._total = float(np.square(self._matrix.data, dtype=np.float64).sum())
        self._d = model.dimension
        width = min(model.dimension + _OVERSAMPLING, *shape)
        draw = np.random.default_rng(seed)
        self._basis = _orthonormal(draw.standard_normal((sizes.right, width), dtype=np.float32))
        self.tables = [np.zeros((rows, model.dimension), np.float32) for rows in shape]

    biases = None
    offset = 0.0

    def start_from(self, tables: list[np.ndarray]) -> None:
        """Starts from the directions of right vectors `[rows, d]`, and random ones for the oversampling."""
        known = tables[1] / self._scales[1][:, None].astype(np.float32)
        width = self._basis.shape[1]
        self._basis[...] = _orthonormal(np.concatenate([known, self._basis], axis=1)[:, :width])
        for mine, given in zip(self.tables, tables, strict=True):
            mine[...] = given

    @property
    def state(self) -> list[np.ndarray]:
        """Everything that determines the next sweep, float32 `[rows, d + oversampling]`, and the tables."""
        return [self._basis, *self.tables]

    def sweep(self) -> dict[str, float]:
        """Improves the directions, and computes the tables from them.

        Returns:
          `loss`, the share of the loss of empty tables that remains.
        """
        self._basis[...] = _orthonormal(self._transposed @ _orthonormal(self._matrix @ self._basis))
        images = self._matrix @ self._basis
        # The singular vectors of A in the subspace: the eigenvectors of its Gramian (Golub & Van Loan 2013, 8.6).
        values, vectors = scipy.linalg.eigh(gramian(images))
        kept = np.argsort(-values)[: self._d]
        directions = vectors[:, kept].astype(np.float32)
        for table, rows, scale in zip(self.tables, (images, self._basis), self._scales, strict=True):
            table[:, : len(kept)] = (rows @ directions) * scale[:, None].astype(np.float32)
        return {"loss": 1 - float(values[kept].sum()) / self._total}

    def measure(self, pairs: Pairs) -> dict[str, float]:
        """Measures some pairs.

        Returns:
          `loss`, the mean over `pairs` of w (1 - p.q)^2.
        """
        left, right = self.tables
        errors = weights = 0.0
        for part in pairs.in_order(1 << 18):
            weight = np.ones(len(part)) if part.weight is None else part.weight
            scores = np.einsum("nd,nd->n", left[part.left], right[part.right])
            errors += float(weight @ (1 - scores) ** 2)
            weights += float(weight.sum())
        return {"loss": errors / weights}


def _orthonormal(rows: np.ndarray) -> np.ndarray:
    """Returns an orthonormal basis of the columns of `[n, k]`, float32. Dependent columns become 0.

    By the eigenvectors of the Gramian, twice: one pass loses digits where singular values differ much (Yamamoto et al.
    2015). Products are much faster than Householder reflections of a tall matrix.
    """
    for _ in range(2):
        values, vectors = scipy.linalg.eigh(gramian(rows))
        real = values > _LEAST_EIGENVALUE * max(float(values[-1]), 1e-300)
        inverse = np.where(real, 1 / np.sqrt(np.where(real, values, 1)), 0)
        rows = rows @ (vectors * inverse).astype(np.float32)
    return rows
