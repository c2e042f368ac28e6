"""The order of values with their ties, computed once for all slices of the rows."""

from __future__ import annotations

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class Levels:
    """Values of rows by their rank among all distinct values.

    Attributes:
      of_row: the level of each row, int32 `[n]`.
      values: a number for each level that does not fall with the level, `[levels]`. Not every level needs a row.
    """

    of_row: np.ndarray
    values: np.ndarray

    @classmethod
    def of(cls, keys: np.ndarray, values: np.ndarray) -> Levels:
        """Returns levels of distinct `keys` `[n]`, with the `values` `[n]`, which never fall where a key rises."""
        order = np.argsort(keys)
        first = _changes(keys[order])
        of_row = np.empty(len(keys), np.int32)
        of_row[order] = np.cumsum(first, dtype=np.int32) - 1
        return cls(of_row, values[order[first]])

    def take(self, rows: np.ndarray) -> Levels:
        """Returns the levels of the given rows. Leaves out levels without a row if most have none."""
        if 4 * len(rows) > len(self.values):
            return Levels(self.of_row[rows], self.values)
        kept, of_row = np.unique(self.of_row[rows], return_inverse=True)
        return Levels(of_row.astype(np.int32), self.values[kept])

    def sums(self, amounts: np.ndarray | None = None) -> np.ndarray:
        """Returns the sum of `amounts` `[n]`, or the number of rows, of each level."""
        return np.bincount(self.of_row, amounts, len(self.values))


class Ranks:
    """Mid-ranks minus their mean: the weight below a level plus half of the weight on it, minus half of all weight.

    Attributes:
      of_row: the rank of each row, float64 `[n]`.
      squares: the weighted sum of their squares, and 0 if all rows that count have the same rank.
    """

    def __init__(self, levels: Levels, starts: np.ndarray, weight: np.ndarray) -> None:
        self._levels, self._starts = levels, starts
        ranks = np.cumsum(weight, dtype=np.float64)
        ranks -= (weight + weight.sum()) * 0.5
        self.squares = float(np.square(ranks) @ weight) if np.count_nonzero(weight) > 1 else 0.0
        self.of_row = self._repeated(ranks)[levels.of_row]

    @classmethod
    def of(cls, levels: Levels, weight: np.ndarray) -> Ranks:
        """Returns the ranks of levels with `weight` `[levels]`. Levels of equal value tie."""
        starts = np.flatnonzero(_changes(levels.values))
        return cls(levels, starts, weight if len(starts) == len(weight) else np.add.reduceat(weight, starts))

    def below(self, amounts: np.ndarray) -> np.ndarray:
        """Returns the sum of `amounts` `[n]` over the rows below each row, plus half of those with its rank, `[n]`."""
        sums = self._levels.sums(amounts)
        if len(self._starts) < len(sums):
            sums = np.add.reduceat(sums, self._starts)
        return np.asarray(self._repeated(np.cumsum(sums) - sums / 2)[self._levels.of_row])

    def _repeated(self, of_ranks: np.ndarray) -> np.ndarray:
        """Returns a value `[ranks]` for each level."""
        levels = len(self._levels.values)
        return of_ranks if len(of_ranks) == levels else np.repeat(of_ranks, np.diff([*self._starts, levels]))


def _changes(ordered: np.ndarray) -> np.ndarray:
    """Returns whether each of some values `[n]` differs from the one before, bool `[n]`."""
    return np.concatenate([[True], ordered[1:] != ordered[:-1]])[: len(ordered)]
