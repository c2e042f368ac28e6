"""Pairs grouped by the entities of one side, for least squares."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np
import scipy.sparse

from trainer.data.pairs import Pairs
from trainer.ranking.blocks import cores, one_blas_thread

# The size of the rows and the normal equations of a block, in numbers. They fit into the cache of a core.
BLOCK_NUMBERS = 1 << 20
# The entities of a block have at least this share of the pairs of the largest one.
_ALIKE = 0.7

_Part = TypeVar("_Part")


@dataclasses.dataclass(frozen=True)
class EntityBlock:
    """Entities with similar numbers of pairs, padded to the largest.

    Attributes:
      entities: int `[b]`.
      others: int `[b, l]`, the partner in each pair, padded with 0.
      weight: float32 `[b, l]`, the weight of each pair, padded with 0.
    """

    entities: np.ndarray
    others: np.ndarray
    weight: np.ndarray


@dataclasses.dataclass(frozen=True)
class Interactions:
    """Pairs by the entities of one side. Row r of `matrix` `[entities, others]` has the weights of the pairs of r."""

    matrix: scipy.sparse.csr_matrix

    @classmethod
    def of(cls, own: np.ndarray, other: np.ndarray, weight: np.ndarray | None, shape: tuple[int, int]) -> Interactions:
        """Groups pairs by entity. Adds the weights of duplicates.

        Args:
          own: int32 `[n]`, the entities to group by.
          other: int32 `[n]`, their partners.
          weight: float32 `[n]`, or None for equal weights.
          shape: the numbers of entities of both sides.
        """
        values = np.ones(len(own), np.float32) if weight is None else weight.astype(np.float32)
        return cls(scipy.sparse.csr_matrix((values, (own, other)), shape=shape))

    @classmethod
    def of_sides(cls, pairs: Pairs, shape: tuple[int, int]) -> tuple[Interactions, Interactions]:
        """Groups pairs by left entity and by right entity, for `shape` left and right entities."""

        def make() -> tuple[Interactions, Interactions]:
            left = cls.of(pairs.left, pairs.right, pairs.weight, shape)
            return left, cls(left.matrix.T.tocsr())

        return pairs.once(("interactions", shape), make)

    @property
    def counts(self) -> np.ndarray:
        """The summed weight of the pairs of each entity, float64 `[entities]`."""
        return np.asarray(self.matrix.sum(axis=1, dtype=np.float64)).ravel()

    def blocks(self, width: int) -> Iterator[EntityBlock]:
        """Yields every entity with a pair in one block, largest first.

        Args:
          width: the length of a row. It limits the size of a block, and so does the system of the entity: one
            equation for each pair, or for each number of a row if these are fewer.
        """
        pairs = max(BLOCK_NUMBERS // width, 1)
        sizes = np.diff(self.matrix.indptr)
        order = np.argsort(-sizes, kind="stable")
        start, end = 0, int((sizes > 0).sum())
        while start < end:
            longest = int(sizes[order[start]])
            alike = int(np.searchsorted(-sizes[order[start:end]], -_ALIKE * longest, side="right"))
            stop = start + max(1, min(alike, pairs // longest, BLOCK_NUMBERS // min(longest, width) ** 2))
            yield self._block(order[start:stop], longest)
            start = stop

    def _block(self, entities: np.ndarray, longest: int) -> EntityBlock:
        first, last = self.matrix.indptr[entities], self.matrix.indptr[entities + 1]
        places = first[:, None] + np.arange(longest)
        filled = places < last[:, None]
        places = np.where(filled, places, 0)
        others = np.where(filled, self.matrix.indices[places], 0)
        return EntityBlock(entities, others, np.where(filled, self.matrix.data[places], np.float32(0)))


def in_parallel(work: Callable[[_Part], None], parts: Iterator[_Part]) -> None:
    """Runs `work` for each part on all cores. NumPy releases the interpreter lock, and each part uses one BLAS thread.

    Parts must be independent, so that their order does not affect the results.
    """
    with one_blas_thread(), ThreadPoolExecutor(cores()) as pool:
        for _ in pool.map(work, parts):
            pass
