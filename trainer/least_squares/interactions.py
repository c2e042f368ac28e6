"""The pairs of each entity of one side, brought together: what least squares solves for, one entity at a time."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np
import scipy.sparse
import threadpoolctl

# Numbers of a block's rows, and of its normal equations: what a core's cache holds.
_BLOCK_NUMBERS = 1 << 20
# A block's entities have at least this share of the pairs of its largest.
_ALIKE = 0.7

_Part = TypeVar("_Part")


@dataclasses.dataclass(frozen=True)
class EntityBlock:
    """Entities with about as many pairs each.

    `entities` `[b]`; `others` `[b, l]`, the entities of the other side that each is paired with, filled up with 0;
    `weight` float32 `[b, l]`, of each pair, 0 for fillers.
    """

    entities: np.ndarray
    others: np.ndarray
    weight: np.ndarray


@dataclasses.dataclass(frozen=True)
class Interactions:
    """Pairs by the entities of one side: row r of `matrix` `[entities, others]` holds the weights of r's pairs."""

    matrix: scipy.sparse.csr_matrix

    @classmethod
    def of(cls, own: np.ndarray, other: np.ndarray, weight: np.ndarray | None, shape: tuple[int, int]) -> Interactions:
        """Pairs `own`, `other` int32 `[n]` with weights float32 `[n]`; those of equal ids are added up."""
        values = np.ones(len(own), np.float32) if weight is None else weight.astype(np.float32)
        return cls(scipy.sparse.csr_matrix((values, (own, other)), shape=shape))

    @property
    def counts(self) -> np.ndarray:
        """The summed weight of each entity's pairs, float64 `[entities]`."""
        return np.asarray(self.matrix.sum(axis=1, dtype=np.float64)).ravel()

    def blocks(self, width: int) -> Iterator[EntityBlock]:
        """All entities with a pair, each in one block; the largest first, for rows of `width` numbers."""
        pairs, most = max(_BLOCK_NUMBERS // width, 1), max(_BLOCK_NUMBERS // width**2, 1)
        sizes = np.diff(self.matrix.indptr)
        order = np.argsort(-sizes, kind="stable")
        start, end = 0, int((sizes > 0).sum())
        while start < end:
            longest = int(sizes[order[start]])
            alike = int(np.searchsorted(-sizes[order[start:end]], -_ALIKE * longest, side="right"))
            stop = start + max(1, min(alike, pairs // longest, most))
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
    """Does `work` on each part on all cores: NumPy lets go of the interpreter, and each part has one BLAS thread.

    The parts must not depend on each other; each result is then the same whatever the order.
    """
    with threadpoolctl.threadpool_limits(1), ThreadPoolExecutor(_cores()) as pool:
        for _ in pool.map(work, parts):
            pass


def _cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
