"""Lists of rows for each of many entities, as two arrays."""

from __future__ import annotations

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class Lists:
    """A list of distinct right rows, ascending, for each of `len` left entities, one after the other."""

    offsets: np.ndarray  # int64 [n + 1]
    rows: np.ndarray  # int32 [offsets[-1]]

    @classmethod
    def of_pairs(cls, owner: np.ndarray, rows: np.ndarray, owners: int) -> Lists:
        """Lists `rows` `[m]` by `owner` `[m]`, in `[0, owners)`; what occurs several times counts once."""
        width = int(rows.max(initial=0)) + 1
        keys = np.unique(owner.astype(np.int64) * width + rows)
        counts = np.bincount(keys // width, minlength=owners)
        return cls(np.concatenate([[0], np.cumsum(counts)]), (keys % width).astype(np.int32))

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def owners(self) -> np.ndarray:
        """Whose list each row is in; int64 `[m]`."""
        return np.repeat(np.arange(len(self)), self.counts)

    @property
    def counts(self) -> np.ndarray:
        """The length of each list; int64 `[n]`."""
        return np.diff(self.offsets)

    def slice(self, start: int, stop: int) -> Lists:
        """The lists `[start, stop)`."""
        first, last = self.offsets[start], self.offsets[stop]
        return Lists(self.offsets[start : stop + 1] - first, self.rows[first:last])

    def take(self, which: np.ndarray) -> Lists:
        """The lists `which` `[q]`, in that order."""
        counts = self.counts[which]
        offsets = np.concatenate([[0], np.cumsum(counts)])
        at = np.arange(offsets[-1]) - np.repeat(offsets[:-1] - self.offsets[which], counts)
        return Lists(offsets, self.rows[at])

    def without(self, other: Lists) -> Lists:
        """What of each list is not in the same list of `other`."""
        width = int(max(self.rows.max(initial=0), other.rows.max(initial=0))) + 1
        owners = self.owners
        kept = ~is_in(owners * width + self.rows, other.owners * width + other.rows)
        return Lists(np.concatenate([[0], np.cumsum(np.bincount(owners[kept], minlength=len(self)))]), self.rows[kept])


def is_in(keys: np.ndarray, among: np.ndarray) -> np.ndarray:
    """Which of `keys` are in `among`, which is sorted; bool, of the shape of `keys`."""
    if not len(among):
        return np.zeros(keys.shape, bool)
    at = np.searchsorted(among, keys).clip(max=len(among) - 1)
    return np.asarray(among[at] == keys)
