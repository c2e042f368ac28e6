"""Orders the rows of a table in blocks of similar rows, so that a ranking reads a few blocks instead of all rows."""

from __future__ import annotations

import dataclasses
import math
from typing import NamedTuple

import numpy as np

from trainer.index.kmeans import clusters

# The maximum number of rows of a block, and rows of a cluster of k-means. Few clusters then need to be cut.
LARGEST, _OF_CLUSTER = 64, 32
# Groups of blocks, as a multiple of the square root of the rows. A ranking compares the query with every group, and
# with every block of some groups.
_GROUPS = 2.5
_POWER_STEPS, _POWER_SAMPLE = 8, 4096
_BLOCKS_AT_A_TIME = 1 << 10


@dataclasses.dataclass(frozen=True)
class Blocks:
    """Rows of a table in blocks.

    Attributes:
      order: every row once, int32 `[rows]`. Within a block in ascending order.
      starts: the place in `order` where each block starts, and the end of the last one, int32 `[blocks + 1]`.
    """

    order: np.ndarray
    starts: np.ndarray

    def __len__(self) -> int:
        return len(self.starts) - 1

    @property
    def sizes(self) -> np.ndarray:
        """The number of rows of each block."""
        return np.diff(self.starts)

    def means(self, values: np.ndarray, scale: np.ndarray | None = None) -> np.ndarray:
        """Returns means over each block, float32 `[blocks, ...]`. Copies a part of the values at a time.

        Args:
          values: float32 `[rows, ...]`.
          scale: what each row is multiplied with, float32 `[rows]`. None means 1.
        """
        found = np.zeros((len(self), *values.shape[1:]), np.float32)
        for first in range(0, len(self), _BLOCKS_AT_A_TIME):
            starts = self.starts[first : first + _BLOCKS_AT_A_TIME + 1]
            rows = self.order[starts[0] : starts[-1]]
            part = values[rows].astype(np.float64)
            wide = (-1, *[1] * (values.ndim - 1))
            if scale is not None:
                part *= scale[rows].reshape(wide)
            sums = np.add.reduceat(part, starts[:-1] - starts[0])
            found[first : first + _BLOCKS_AT_A_TIME] = sums / np.diff(starts).reshape(wide)
        return found


class Partition(NamedTuple):
    """Rows in blocks, and blocks in groups.

    Attributes:
      blocks: the blocks.
      groups: the same rows in groups. Each has whole blocks, in the order of `blocks`.
    """

    blocks: Blocks
    groups: Blocks

    @property
    def firsts(self) -> np.ndarray:
        """The first block of each group, and the number of blocks, int32 `[groups + 1]`."""
        return np.searchsorted(self.blocks.starts, self.groups.starts).astype(np.int32)


def partition(vectors: np.ndarray, bias: np.ndarray, seed: int = 0) -> Partition:
    """Splits rows into blocks for the largest dot product with a query.

    The rows get one more coordinate that makes all of them equally long. Then the largest dot product is the smallest
    distance (Bachrach et al. 2014, Speeding Up the Xbox Recommender System). k-means finds groups, and clusters within
    each group. Clusters larger than a block are halved across their principal direction.

    Args:
      vectors: float32 `[rows, d]`.
      bias: float32 `[rows]`, which adds to the dot product.
      seed: the same seed gives the same blocks.

    Returns:
      Blocks of at most `LARGEST` rows, in groups. No block and no group is empty.
    """
    random, found = np.random.default_rng(seed), list[np.ndarray]()
    lifted = _Lifted(vectors, bias)
    count = min(round(_GROUPS * math.sqrt(len(vectors))), len(vectors) // LARGEST)
    groups = clusters(lifted, np.arange(len(vectors)), count, random) if len(vectors) else []
    for group in groups:
        for fine in clusters(lifted, group, round(len(group) / _OF_CLUSTER), random):
            _halve(lifted, fine, LARGEST, random, found)
    order = np.concatenate([*map(np.sort, found), np.zeros(0, np.int64)]).astype(np.int32)
    return Partition(Blocks(order, _starts(found)), Blocks(order, _starts(groups)))


def _starts(parts: list[np.ndarray]) -> np.ndarray:
    return np.cumsum([0, *map(len, parts)]).astype(np.int32)


class _Lifted:
    """The vectors of rows with their bias and with the coordinate that makes all of them equally long."""

    def __init__(self, vectors: np.ndarray, bias: np.ndarray) -> None:
        self._vectors, self._bias = vectors, bias
        self._squares = np.einsum("nd,nd->n", vectors, vectors) + bias**2
        self._largest = self._squares.max(initial=0.0)

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        more = np.stack([self._bias[rows], np.sqrt(self._largest - self._squares[rows])], axis=1)
        return np.concatenate([self._vectors[rows], more], axis=1, dtype=np.float32)


def _halve(
    points: _Lifted, rows: np.ndarray, largest: int, random: np.random.Generator, found: list[np.ndarray]
) -> None:
    """Appends `rows` to `found` in blocks of at most `largest` rows."""
    if len(rows) <= largest:
        found.append(rows)
        return
    vectors = points(rows)
    sample = vectors[random.permutation(len(rows))[:_POWER_SAMPLE]]
    along = np.argsort(vectors @ _principal(sample - sample.mean(axis=0), random), kind="stable")
    blocks = -(-len(rows) // largest)
    middle = len(rows) * (blocks // 2) // blocks
    for half in (along[:middle], along[middle:]):
        _halve(points, rows[half], largest, random, found)


def _principal(centered: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Returns roughly the direction of the largest variance of `centered` `[m, d]`, by power iteration."""
    direction = np.asarray(random.standard_normal(centered.shape[1], np.float32))
    for _ in range(_POWER_STEPS):
        direction = np.asarray(centered.T @ (centered @ direction))
        direction /= max(float(np.linalg.norm(direction)), float(np.finfo(np.float32).tiny))
    return direction
