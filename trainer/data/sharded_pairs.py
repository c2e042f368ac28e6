"""Encoded pairs in shards on disk, for data that does not fit in memory."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from trainer.data.pairs import Pairs, concatenated

# Large enough that a shard is a small part of the data, small enough that each shard is written sequentially.
_SHARDS = 64
# Rows that are collected before they are distributed to the shards.
_DEAL_ROWS = 1 << 20


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
        return self._only(sorted(order[held:])), concatenated([self._read(shard) for shard in sorted(order[:held])])

    def shuffled(self, draw: np.random.Generator, batch_size: int) -> Iterator[Pairs]:
        """Yields one pass, shard by shard. Batches cross the boundaries of shards."""
        rest: list[Pairs] = []
        for shard in draw.permutation(len(self.files)).tolist():
            pairs = self._read(shard)
            pairs = concatenated([*rest, pairs.take(draw.permutation(len(pairs)))])
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
    pairs = concatenated(held)
    return pairs if _weighted(pairs) else dataclasses.replace(pairs, weight=None)


def _weighted(pairs: Pairs) -> bool:
    return pairs.weight is not None and bool(np.any(pairs.weight != 1))


def _deal(held: list[Pairs], batches: Iterator[Pairs], directory: str, unordered: bool) -> ShardedPairs:
    draw = np.random.default_rng(0)  # the seed of a pass determines its shuffle
    names = ("left", "right", "label", "weight")[: len(held[0].columns)]
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
                writers[number].write(pa.record_batch([pa.array(c[start:end]) for c in dealt.columns], schema))
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
            yield concatenated(held)
            held.clear()
        held.append(batch)
    yield concatenated(held)
