"""Encoded pairs as columns in memory. There is no Python object per row."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import Any, Protocol, TypeVar, cast

import numpy as np

_T = TypeVar("_T")


@dataclasses.dataclass(frozen=True)
class Pairs:
    """Columns of one split. Row i of each column belongs to pair i."""

    left: np.ndarray  # int32 [n]
    right: np.ndarray  # int32 [n]
    label: np.ndarray  # float32 [n]
    weight: np.ndarray | None = None  # float32 [n], or None if all rows have the same weight

    def __len__(self) -> int:
        return len(self.label)

    @property
    def nbytes(self) -> int:
        """The size of the columns in bytes."""
        return sum(column.nbytes for column in self.columns)

    @property
    def weighted(self) -> bool:
        """Whether rows have weights."""
        return self.weight is not None

    @property
    def positives_only(self) -> bool:
        """Whether every label is positive. Training must then sample negatives."""
        return bool((self.label > 0).all())

    @property
    def is_binary(self) -> bool:
        """Whether the labels have two values, one of which is positive."""
        low, high = self.label.min(initial=np.inf), self.label.max(initial=-np.inf)
        return bool(low <= 0 < high and ((self.label == low) | (self.label == high)).all())

    def once(self, key: Hashable, make: Callable[[], _T]) -> _T:
        """Returns `make()`, which must depend on the columns and `key` only. `ReusedPairs` keep it."""
        return make()

    def take(self, rows: np.ndarray | slice) -> Pairs:
        """Returns the given rows in the given order."""
        return Pairs(*(column[rows] for column in self.columns))

    def hold_out(self, fraction: float, seed: int, unordered: bool = False) -> tuple[Pairs, Pairs]:
        """Splits off random rows, or all rows of random pairs.

        Args:
          fraction: the share to hold out. Both parts have at least one row.
          seed: of the random choice.
          unordered: whether both sides are one table, in which (a, b) and (b, a) are the same pair. Then all rows of a
            pair are on the same side. If there is only one pair, its rows are divided.

        Returns:
          The kept rows and the held-out rows.
        """
        if unordered and (held_out := self._hold_out_pairs(fraction, seed)) is not None:
            return self.take(~held_out), self.take(held_out)
        order = np.random.default_rng(seed).permutation(len(self))
        held = min(max(round(len(self) * fraction), 1), len(self) - 1)
        return self.take(np.sort(order[held:])), self.take(np.sort(order[:held]))

    def _hold_out_pairs(self, fraction: float, seed: int) -> np.ndarray | None:
        """Returns a mask of the rows of random unordered pairs, or None if there are no two of them."""
        _, pair, sizes = np.unique(self.unordered_keys, return_inverse=True, return_counts=True)
        if len(sizes) < 2:
            return None
        order = np.random.default_rng(seed).permutation(len(sizes))
        ends = np.cumsum(sizes[order])
        count = min(int(np.searchsorted(ends, fraction * len(self))) + 1, len(sizes) - 1)
        chosen = np.zeros(len(sizes), bool)
        chosen[order[:count]] = True
        return np.asarray(chosen[pair])

    @property
    def unordered_keys(self) -> np.ndarray:
        """A number for each row that is the same for (a, b) and (b, a), and for no other pair, int64 `[n]`."""
        low, high = np.minimum(self.left, self.right), np.maximum(self.left, self.right)
        return np.asarray(low.astype(np.int64) << 32 | high)

    def shuffled(self, draw: np.random.Generator, batch_size: int) -> Iterator[Pairs]:
        """Yields one pass in a random order. All permutations are equally likely.

        Args:
          draw: the random generator.
          batch_size: rows per batch. The last batch may be smaller.
        """
        order = draw.permutation(len(self)).astype(np.int32 if len(self) < 2**31 else np.int64)
        for start in range(0, len(self), batch_size):
            yield self.take(order[start : start + batch_size])

    def sample(self, draw: np.random.Generator, count: int) -> Pairs:
        """Returns `count` random rows in the order of the columns, or all rows if there are not more."""
        if count >= len(self):
            return self
        return self.take(np.sort(draw.choice(len(self), count, replace=False, shuffle=False)))

    def in_order(self, batch_size: int) -> Iterator[Pairs]:
        """Yields one pass in the order of the columns."""
        for start in range(0, len(self), batch_size):
            yield self.take(slice(start, start + batch_size))

    def occurrences(self, sizes: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
        """Counts the pairs of each entity.

        Args:
          sizes: the numbers of left and right entities.

        Returns:
          int64 `[left]` and int64 `[right]`.
        """
        return np.bincount(self.left, minlength=sizes[0]), np.bincount(self.right, minlength=sizes[1])

    @property
    def columns(self) -> list[np.ndarray]:
        """Left, right, label, and the weight if rows have weights."""
        return [self.left, self.right, self.label] + ([] if self.weight is None else [self.weight])


class ReusedPairs(Pairs):
    """Pairs of several trainings. What these compute from the columns alone is kept, so that it is computed once."""

    @functools.cached_property
    def _kept(self) -> dict[Hashable, Any]:
        return {}

    def once(self, key: Hashable, make: Callable[[], _T]) -> _T:
        """Returns the earlier result for `key`, or keeps that of `make()`. It must not be changed."""
        if key not in self._kept:
            self._kept[key] = make()
        return cast(_T, self._kept[key])

    @classmethod
    def of(cls, pairs: Pairs) -> ReusedPairs:
        """Returns the same columns."""
        return cls(*pairs.columns)


class TrainingPairs(Protocol):
    """Pairs for training, in memory or on disk."""

    @property
    def weighted(self) -> bool:
        """Whether rows have weights."""

    @property
    def positives_only(self) -> bool:
        """Whether every label is positive. Training must then sample negatives."""

    def __len__(self) -> int: ...

    def hold_out(self, fraction: float, seed: int, unordered: bool = False) -> tuple[TrainingPairs, Pairs]:
        """Splits off about `fraction` of the rows. Returns the kept rows and the held-out rows.

        With `unordered`, (a, b) and (b, a) stay together.
        """

    def shuffled(self, draw: np.random.Generator, batch_size: int) -> Iterator[Pairs]:
        """Yields one pass in a random order. The last batch may be smaller."""

    def sample(self, draw: np.random.Generator, count: int) -> Pairs:
        """Returns `count` random rows, or all rows if there are not more."""

    def occurrences(self, sizes: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
        """Counts the pairs of each left and each right entity, int64 `[left]` and `[right]` for `sizes`."""


def concatenated(parts: Sequence[Pairs]) -> Pairs:
    """Returns the rows of all `parts`, which all have weights or all have none."""
    if len(parts) == 1:
        return parts[0]
    columns = zip(*(part.columns for part in parts), strict=True)
    return Pairs(*(np.concatenate(column) for column in columns))
