"""The closest factorization of all pairs in closed form, for data with only positives: a truncated SVD."""

from __future__ import annotations

import numpy as np
import scipy.linalg
import scipy.sparse

from trainer.data.pairs import Pairs
from trainer.least_squares.interactions import Interactions
from trainer.least_squares.subspaces import gramian, orthonormal
from trainer.model.table_sizes import TableSizes
from trainer.settings import AlsSettings, ModelSettings

# Sweeps after which the directions hardly change.
ENOUGH_SWEEPS = 5
# More directions than needed, so that the last ones are also exact (Halko, Martinsson & Tropp 2011, section 1.3).
OVERSAMPLING = 16


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
        sides = Interactions.of_sides(pairs, shape)
        self._scales = [np.maximum(side.counts, 1e-12) ** model.popularity_exponent for side in sides]
        inverse = [(1 / scale).astype(np.float32) for scale in self._scales]
        self._matrix = _scaled(sides[0].matrix, inverse[0], inverse[1])
        self._transposed = _scaled(sides[1].matrix, inverse[1], inverse[0])
        self._total = float(np.square(self._matrix.data, dtype=np.float64).sum())
        self._d = model.dimension
        width = min(model.dimension + OVERSAMPLING, *shape)
        draw = np.random.default_rng(seed)
        self._basis = orthonormal(draw.standard_normal((sizes.right, width), dtype=np.float32))
        self._images = self._matrix @ self._basis
        self.tables = [np.zeros((rows, model.dimension), np.float32) for rows in shape]

    biases = None
    offset = 0.0

    def start_from(self, tables: list[np.ndarray]) -> None:
        """Starts from the directions of right vectors `[rows, d]`, and random ones for the oversampling."""
        known = tables[1] / self._scales[1][:, None].astype(np.float32)
        width = self._basis.shape[1]
        self._basis[...] = orthonormal(np.concatenate([known, self._basis], axis=1)[:, :width])
        self._images[...] = self._matrix @ self._basis
        for mine, given in zip(self.tables, tables, strict=True):
            mine[...] = given

    @property
    def state(self) -> list[np.ndarray]:
        """Everything that determines the next sweep, float32 `[rows, d + oversampling]`, and the tables."""
        return [self._basis, self._images, *self.tables]

    def sweep(self) -> dict[str, float]:
        """Improves the directions, and computes the tables from them.

        Returns:
          `loss`, the share of the loss of empty tables that remains.
        """
        self._basis[...] = orthonormal(self._transposed @ orthonormal(self._images))
        self._images[...] = self._matrix @ self._basis
        # The singular vectors of A in the subspace: the eigenvectors of its Gramian (Golub & Van Loan 2013, 8.6).
        values, vectors = scipy.linalg.eigh(gramian(self._images))
        kept = np.argsort(-values)[: self._d]
        directions = vectors[:, kept].astype(np.float32)
        for table, rows, scale in zip(self.tables, (self._images, self._basis), self._scales, strict=True):
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


def _scaled(matrix: scipy.sparse.csr_matrix, rows: np.ndarray, columns: np.ndarray) -> scipy.sparse.csr_matrix:
    """Multiplies each value by the factors of its row and its column."""
    values = matrix.data * np.repeat(rows, np.diff(matrix.indptr)) * columns[matrix.indices]
    return scipy.sparse.csr_matrix((values, matrix.indices, matrix.indptr), shape=matrix.shape)
