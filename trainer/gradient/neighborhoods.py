"""The pairs as a graph between left and right entities, over which vectors are averaged."""

from __future__ import annotations

import itertools
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import scipy.sparse

from trainer.data.pairs import Pairs
from trainer.model.table_sizes import TableSizes
from trainer.ranking.blocks import cores

# The vectors of an entity, of its partners, and of the partners of its partners.
_TERMS = 3


class Neighborhoods:
    """Averages vectors over neighborhoods in the graph of the pairs: light graph convolution (He et al. 2020).

    With A = N_left^-1/2 R N_right^-1/2, where R has the weights of the pairs and N those of all pairs of an entity, the
    averages of left rows x and right rows y are

        (x + A y + A A' x) / 3  and  (y + A' x + A' A y) / 3

    These are equations 7 and 8 of "LightGCN" with two layers. They are linear, and the gradient passes back by the
    transpose.

    Args:
      pairs: the training pairs.
      sizes: the sizes of the embedding tables.
    """

    def __init__(self, pairs: Pairs, sizes: TableSizes) -> None:
        values = np.ones(len(pairs), np.float32) if pairs.weight is None else pairs.weight.astype(np.float32)
        self.observed = scipy.sparse.csr_matrix((values, (pairs.left, pairs.right)), shape=(sizes.left, sizes.right))
        self.observed.sum_duplicates()
        roots = [
            np.sqrt(np.maximum(np.asarray(self.observed.sum(axis=axis, dtype=np.float64)).ravel(), 1e-12))
            for axis in (1, 0)
        ]
        scaled = scipy.sparse.diags(1 / roots[0]) @ self.observed @ scipy.sparse.diags(1 / roots[1])
        self._matrix = scipy.sparse.csr_matrix(scaled, dtype=np.float32)
        self._to_left, self._to_right = _ByCore(self._matrix), _ByCore(self._matrix.T.tocsr())

    def averages(self, left: np.ndarray, right: np.ndarray, some: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns the averages of left entities `some` `[b, d]`, and of all right entities.

        Args:
          left: float32 `[lefts, d]`.
          right: float32 `[rights, d]`.
          some: numbers of left entities `[b]`.
        """
        at_left, at_right = self._to_left @ right, self._to_right @ left
        of_left = left[some] + at_left[some] + self._matrix[some] @ at_right
        return of_left / _TERMS, (right + at_right + self._to_right @ at_left) / _TERMS

    def gradients(self, of_left: np.ndarray, of_right: np.ndarray, some: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns the gradients by the rows `[lefts, d]` and `[rights, d]`, from those by the result of `averages`."""
        of_partners = of_right + self._matrix[some].T @ of_left
        at_left = self._to_left @ of_partners
        at_left[some] += of_left
        at_right = of_partners + self._to_right @ (self._to_left @ of_right)
        return at_left / _TERMS, at_right / _TERMS


class _ByCore:
    """A sparse matrix whose products with dense arrays run on all cores."""

    def __init__(self, matrix: scipy.sparse.csr_matrix) -> None:
        count = cores()
        ends = np.searchsorted(matrix.indptr, matrix.nnz * np.arange(1, count) // count)
        bounds = [0, *ends.tolist(), matrix.shape[0]]
        self._parts = [matrix[start:end] for start, end in itertools.pairwise(bounds)]

    def __matmul__(self, rows: np.ndarray) -> np.ndarray:
        with ThreadPoolExecutor(len(self._parts)) as pool:
            return np.concatenate(list(pool.map(lambda part: part @ rows, self._parts)))
