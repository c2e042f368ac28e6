"""Lists of rows for many entities, in two arrays."""

from __future__ import annotations

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class Lists:
    """Lists of distinct right rows in ascending order, one for each left entity.

    Attributes:
      offsets: list i is `rows[offsets[i]:offsets[i + 1]]`.
      rows: the rows of all lists.

    Example: `Lists.of_pairs(np.array([0, 0, 2]), np.array([5, 3, 4]), 3)` has the lists `[3, 5]`, `[]` and `[4]`.
    """

    offsets: np.ndarray  # int64 [n + 1]
    rows: np.ndarray  # int32 [offsets[-1]]

    @classmethod
    def of_pairs(cls, owner: np.ndarray, rows: np.ndarray, owners: int) -> Lists:
        """Groups rows by owner. Duplicates count once.

        Args:
          owner: int `[m]`, the list of each row.
          rows: int `[m]`.
          owners: the number of lists.
        """
        width = int(rows.max(initial=0)) + 1
        keys = np.unique(owner.astype(np.int64) * width + rows)
        counts = np.bincount(keys // width, minlength=owners)
        return cls(np.concatenate([[0], np.cumsum(counts)]), (keys % width).astype(np.int32))

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def owners(self) -> np.ndarray:
        """The list of each row, int64 `[m]`."""
        return np.repeat(np.arange(len(self)), self.counts)

    @property
    def counts(self) -> np.ndarray:
        """The length of each list, int64 `[n]`."""
        return np.diff(self.offsets)

    def slice(self, start: int, stop: int) -> Lists:
        """Returns the lists `[start, stop)`."""
        first, last = self.offsets[start], self.offsets[stop]
        return Lists(self.offsets[start : stop + 1] - first, self.rows[first:last])

    def take(self, which: np.ndarray) -> Lists:
        """Returns the lists `which` `[q]` in that order."""
        counts = self.counts[which]
        offsets = np.concatenate([[0], np.cumsum(counts)])
        at = np.arange(offsets[-1]) - np.repeat(offsets[:-1] - self.offsets[which], counts)
        return Lists(offsets, self.rows[at])

    def without(self, other: Lists) -> Lists:
        """Returns the rows of each list that are not in the same list of `other`."""
        width = int(max(self.rows.max(initial=0), other.rows.max(initial=0))) + 1
        owners = self.owners
        kept = ~is_in(owners * width + self.rows, other.owners * width + other.rows)
        return Lists(np.concatenate([[0], np.cumsum(np.bincount(owners[kept], minlength=len(self)))]), self.rows[kept])


def is_in(keys: np.ndarray, among: np.ndarray) -> np.ndarray:
    """Returns whether each of `keys` is in the sorted array `among`. The result is bool in the shape of `keys`."""
    if not len(among):
        return np.zeros(keys.shape, bool)
    at = np.searchsorted(among, keys).clip(max=len(among) - 1)
    return np.asarray(among[at] == keys)
