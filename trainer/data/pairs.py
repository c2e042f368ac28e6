"""Encoded pairs as columns, in memory or in shards on disk. There is no Python object per row."""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Callable, Hashable, Iterator
from typing import Any, Protocol, TypeVar, cast

import numpy as np
import pyarrow as pa

# Large enough that a shard is a small part of the data, small enough that each shard is written sequentially.
_SHARDS = 64
# Rows that are collected before they are distributed to the shards.
_DEAL_ROWS = 1 << 20

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
        return sum(column.nbytes for column in self._columns())

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
        return Pairs(*(column[rows] for column in self._columns()))

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

    def _columns(self) -> list[np.ndarray]:
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
        return cls(*pairs._columns())


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


@dataclasses.dataclass(frozen=True)
class ShardedPairs:
    """Pairs in files on disk, assigned at random. Each file fits in memory.

    A pass reads the shards in a random order, and the rows of each in a random order (the external shuffle of Rao 1961
    and Sandelius 1962). The assignment of rows to shards is fixed. The order within a shard differs in every pass.
    """

    files: tuple[str, ...]
    counts: tuple[int, ...]
    weighted: bool
    positives_only: bool
    unordered: bool = False

    def __len__(self) -> int:
        return sum(self.counts)

    def hold_out(self, fraction: float, seed: int, unordered: bool = False) -> tuple[ShardedPairs, Pairs]:
        """Holds out whole shards, which are random samples, until they have at least `fraction` of the rows.

        Unordered pairs must have been dealt to shards as such (`collect`).
        """
        assert self.unordered or not unordered
        order = np.random.default_rng(seed).permutation(len(self.files)).tolist()
        held = 1
        while sum(self.counts[shard] for shard in order[:held]) < fraction * len(self) and held < len(order) - 1:
            held += 1
        return self._only(sorted(order[held:])), _concatenated([self._read(shard) for shard in sorted(order[:held])])

    def shuffled(self, draw: np.random.Generator, batch_size: int) -> Iterator[Pairs]:
        """Yields one pass, shard by shard. Batches cross the boundaries of shards."""
        rest: list[Pairs] = []
        for shard in draw.permutation(len(self.files)).tolist():
            pairs = self._read(shard)
            pairs = _concatenated([*rest, pairs.take(draw.permutation(len(pairs)))])
            whole = len(pairs) - len(pairs) % batch_size
            yield from pairs.take(slice(0, whole)).in_order(batch_size)
            rest = [pairs.take(slice(whole, None))]
        yield from (last for last in rest if len(last))

    def sample(self, draw: np.random.Generator, count: int) -> Pairs:
        """Returns `count` random rows, or all rows if there are not more."""
        return next(self.shuffled(draw, count))

    def occurrences(self, sizes: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
        """Counts the pairs of each left and each right entity, int64 `[left]` and `[right]` for `sizes`."""
        left, right = (np.zeros(size, np.int64) for size in sizes)
        for shard in range(len(self.files)):
            of_left, of_right = self._read(shard).occurrences(sizes)
            left += of_left
            right += of_right
        return left, right

    def _only(self, shards: list[int]) -> ShardedPairs:
        files = tuple(self.files[shard] for shard in shards)
        return dataclasses.replace(self, files=files, counts=tuple(self.counts[shard] for shard in shards))

    def _read(self, shard: int) -> Pairs:
        with pa.memory_map(self.files[shard]) as source:
            table = pa.ipc.open_file(source).read_all()
            columns = [column.to_numpy() for column in table.columns]
        return Pairs(*columns[: None if self.weighted else 3])


class NoRows(ValueError):
    """There are no rows to train on."""


def collect(batches: Iterator[Pairs], memory: int, directory: str, unordered: bool = False) -> Pairs | ShardedPairs:
    """Concatenates batches in memory, or in shards on disk if they are too large.

    Args:
      batches: pairs, all with weights or all without.
      memory: the maximum size in memory, in bytes.
      directory: where shards are stored.
      unordered: whether (a, b) and (b, a) are the same pair. Then both go to the same shard.

    Raises:
      NoRows: there are no rows.
    """
    held: list[Pairs] = []
    size = 0
    for batch in batches:
        held.append(batch)
        size += batch.nbytes
        if size > memory:
            return _deal([*held], batches, directory, unordered)
    if not size:
        raise NoRows("there are no rows to train on")
    pairs = _concatenated(held)
    return pairs if _weighted(pairs) else dataclasses.replace(pairs, weight=None)


def _weighted(pairs: Pairs) -> bool:
    return pairs.weight is not None and bool(np.any(pairs.weight != 1))


def _deal(held: list[Pairs], batches: Iterator[Pairs], directory: str, unordered: bool) -> ShardedPairs:
    draw = np.random.default_rng(0)  # the seed of a pass determines its shuffle
    names = ("left", "right", "label", "weight")[: len(held[0]._columns())]
    schema = pa.schema([(name, pa.int32() if name in ("left", "right") else pa.float32()) for name in names])
    files = tuple(os.path.join(directory, f"pairs-{shard:02d}.arrow") for shard in range(_SHARDS))
    writers = [pa.ipc.new_file(file, schema) for file in files]
    counts = np.zeros(_SHARDS, np.int64)
    weighted, positives_only = False, True
    try:
        for batch in _in_runs(held, batches):
            weighted |= _weighted(batch)
            positives_only &= batch.positives_only
            shard = _hashed(batch) if unordered else draw.integers(0, _SHARDS, len(batch), dtype=np.uint8)
            dealt = batch.take(np.argsort(shard, kind="stable"))
            ends = np.bincount(shard, minlength=_SHARDS).cumsum()
            for number, (start, end) in enumerate(zip([0, *ends[:-1]], ends, strict=True)):
                writers[number].write(pa.record_batch([pa.array(c[start:end]) for c in dealt._columns()], schema))
                counts[number] += end - start
    finally:
        for writer in writers:
            writer.close()
    return ShardedPairs(files, tuple(counts.tolist()), weighted, positives_only, unordered)


def _hashed(pairs: Pairs) -> np.ndarray:
    """Returns the shard of each row by a multiplicative hash of its unordered pair (Knuth 1998, section 6.4)."""
    with np.errstate(over="ignore"):
        key = pairs.unordered_keys.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        key = (key ^ (key >> np.uint64(32))) * np.uint64(0x9E3779B97F4A7C15)
    return np.asarray((key >> np.uint64(58)).astype(np.uint8))


def _in_runs(held: list[Pairs], batches: Iterator[Pairs]) -> Iterator[Pairs]:
    """Yields all pairs in batches of at least `_DEAL_ROWS`. Empties `held`."""
    for batch in batches:
        if sum(map(len, held)) >= _DEAL_ROWS:
            yield _concatenated(held)
            held.clear()
        held.append(batch)
    yield _concatenated(held)


def _concatenated(parts: list[Pairs]) -> Pairs:
    if len(parts) == 1:
        return parts[0]
    columns = zip(*(part._columns() for part in parts), strict=True)
    return Pairs(*(np.concatenate(column) for column in columns))
