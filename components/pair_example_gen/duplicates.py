"""Applies a duplicate policy. All functions expect complete pairs: every row of a pair is in the same table."""

from __future__ import annotations

import dataclasses

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from components.pair_example_gen.rules import IN_EVAL, TIME
from trainer import features


@dataclasses.dataclass(frozen=True)
class Groups:
    """The pair of each row.

    Attributes:
      pair: pair number of each row, int `[n]`, from 0 to `count` - 1.
      count: number of distinct pairs.
    """

    pair: np.ndarray
    count: int

    @property
    def sizes(self) -> np.ndarray:
        """Number of rows of each pair, `[count]`."""
        return np.bincount(self.pair, minlength=self.count)


def group(pairs: pa.Table, unordered: bool = False) -> Groups:
    """Numbers the distinct pairs. Compares ids, not hashes, so the result is exact.

    Rows of the same pair that a given split puts on different sides are different pairs.

    Args:
      pairs: with schema `pairs_schema`.
      unordered: whether (a, b) and (b, a) are the same pair.
    """
    left, right = (pairs[name].combine_chunks() for name in (features.LEFT_ID, features.RIGHT_ID))
    codes = pa.concat_arrays([left, right]).dictionary_encode().indices.to_numpy(zero_copy_only=False).astype(np.int64)
    first, second = codes[: len(left)], codes[len(left) :]
    if unordered:
        first, second = np.minimum(first, second), np.maximum(first, second)
    both = first * (codes.max(initial=0) + 1) + second
    if IN_EVAL in pairs.schema.names:
        both = 2 * both + pairs[IN_EVAL].to_numpy()
    distinct, pair = np.unique(both, return_inverse=True)
    return Groups(pair, len(distinct))


def keep_last(pairs: pa.Table, groups: Groups) -> pa.Table:
    """Keeps the newest row of each pair, or the last row if times are equal or missing. Keeps the order of the rows."""
    times = _column(pairs, TIME) if TIME in pairs.schema.names else np.zeros(pairs.num_rows)
    order = np.lexsort((np.arange(pairs.num_rows), times, groups.pair))
    last = np.flatnonzero(np.append(np.diff(groups.pair[order]) > 0, np.full(min(len(order), 1), True)))
    return pairs.take(pa.array(np.sort(order[last])))


def keep_mean(pairs: pa.Table, groups: Groups, unordered: bool = False) -> pa.Table:
    """Merges each pair into one row: weighted mean score, sum of the weights, newest time.

    The merged row has the same effect on training as the original rows. The function adds scores in ascending order, so
    that the mean does not depend on the order of the files. An unordered pair gets the smaller id as its left id.
    """
    order = np.lexsort((_column(pairs, features.SCORE), groups.pair))
    pairs, pair = pairs.take(pa.array(order)), groups.pair[order]
    first = np.flatnonzero(np.append(np.full(min(len(pair), 1), True), np.diff(pair) > 0))
    means = pairs.take(pa.array(first))
    if unordered:
        means = _ascending(means)
    weight = _column(pairs, features.WEIGHT) if features.WEIGHT in pairs.schema.names else np.ones(len(pair))
    total = np.bincount(pair, weight, groups.count)
    score = np.bincount(pair, weight * _column(pairs, features.SCORE), groups.count) / total
    means = _replace(means, features.SCORE, score.astype(np.float32))
    if features.WEIGHT in pairs.schema.names:
        means = _replace(means, features.WEIGHT, total.astype(np.float32))
    if TIME in pairs.schema.names:
        means = _replace(means, TIME, _newest(pairs, Groups(pair, groups.count)))
    return means


def _ascending(pairs: pa.Table) -> pa.Table:
    """Returns pairs whose left id has the smaller bytes."""
    left, right = pairs[features.LEFT_ID], pairs[features.RIGHT_ID]
    for name, choose in ((features.LEFT_ID, pc.min_element_wise), (features.RIGHT_ID, pc.max_element_wise)):
        at = pairs.schema.get_field_index(name)
        pairs = pairs.set_column(at, pairs.schema.field(at), choose(left, right))
    return pairs


def with_newest_time(pairs: pa.Table, groups: Groups) -> pa.Table:
    """Gives every row the newest time of its pair, so that a pair is never split by time."""
    return _replace(pairs, TIME, _newest(pairs, groups)[groups.pair])


def repeated(pairs: pa.Table, groups: Groups, most: int) -> tuple[int, pa.Table]:
    """Returns the number of pairs with several rows, and two rows of each of the first `most` such pairs."""
    several = groups.sizes > 1
    rows = np.flatnonzero(several[groups.pair])
    chosen = list(dict.fromkeys(groups.pair[rows].tolist()))[:most]
    shown = [row for pair in chosen for row in rows[groups.pair[rows] == pair][:2].tolist()]
    return int(several.sum()), pairs.take(pa.array(shown, pa.int64()))


def _newest(pairs: pa.Table, groups: Groups) -> np.ndarray:
    newest = np.full(groups.count, -np.inf)
    np.maximum.at(newest, groups.pair, _column(pairs, TIME))
    return newest


def _column(pairs: pa.Table, name: str) -> np.ndarray:
    return np.asarray(pc.cast(pairs[name], pa.float64()).to_numpy())


def _replace(pairs: pa.Table, name: str, values: np.ndarray) -> pa.Table:
    at = pairs.schema.get_field_index(name)
    return pairs.set_column(at, pairs.schema.field(at), pa.array(values))
