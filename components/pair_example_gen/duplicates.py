"""Rows of the same pair, by policy. All functions see whole pairs: every row of a pair is in the same table."""

from __future__ import annotations

import dataclasses

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from components.pair_example_gen.rules import TIME
from trainer import features


@dataclasses.dataclass(frozen=True)
class Groups:
    """Which pair each row is of: `pair` `[n]` numbers from 0 to `count` - 1."""

    pair: np.ndarray
    count: int

    @property
    def sizes(self) -> np.ndarray:
        """How many rows each pair has; `[count]`."""
        return np.bincount(self.pair, minlength=self.count)


def group(pairs: pa.Table) -> Groups:
    """Numbers the pairs, exactly: by their ids, not by a hash."""
    left, right = (_codes(pairs[name]) for name in (features.LEFT_ID, features.RIGHT_ID))
    both = left * (right.max(initial=0) + 1) + right
    distinct, pair = np.unique(both, return_inverse=True)
    return Groups(pair, len(distinct))


def _codes(ids: pa.ChunkedArray) -> np.ndarray:
    encoded = ids.combine_chunks().dictionary_encode()
    return encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64)


def keep_last(pairs: pa.Table, groups: Groups) -> pa.Table:
    """The newest row of each pair where there is a time, of equally new ones the last read; in their old order."""
    times = _column(pairs, TIME) if TIME in pairs.schema.names else np.zeros(pairs.num_rows)
    order = np.lexsort((np.arange(pairs.num_rows), times, groups.pair))
    last = np.flatnonzero(np.append(np.diff(groups.pair[order]) > 0, np.full(min(len(order), 1), True)))
    return pairs.take(pa.array(np.sort(order[last])))


def keep_mean(pairs: pa.Table, groups: Groups) -> pa.Table:
    """One row for each pair: the mean score, weighted where there are weights; their sum; the newest time.

    So the row pulls on the model as hard, and to the same place, as all those that it stands for. Scores are added in
    the order of their size, so that the mean does not depend on the order of the files.
    """
    order = np.lexsort((_column(pairs, features.SCORE), groups.pair))
    pairs, pair = pairs.take(pa.array(order)), groups.pair[order]
    first = np.flatnonzero(np.append(np.full(min(len(pair), 1), True), np.diff(pair) > 0))
    means = pairs.take(pa.array(first))
    weight = _column(pairs, features.WEIGHT) if features.WEIGHT in pairs.schema.names else np.ones(len(pair))
    total = np.bincount(pair, weight, groups.count)
    # Where all weights of a pair are zero they say nothing about its rows: these count alike.
    used = np.where(total[pair] > 0, weight, 1.0)
    score = np.bincount(pair, used * _column(pairs, features.SCORE), groups.count) / np.bincount(
        pair, used, groups.count
    )
    means = _replace(means, features.SCORE, score.astype(np.float32))
    if features.WEIGHT in pairs.schema.names:
        means = _replace(means, features.WEIGHT, total.astype(np.float32))
    if TIME in pairs.schema.names:
        means = _replace(means, TIME, _newest(pairs, Groups(pair, groups.count)))
    return means


def with_newest_time(pairs: pa.Table, groups: Groups) -> pa.Table:
    """Every row with the newest time of its pair, so that a pair is on one side of any point in time."""
    return _replace(pairs, TIME, _newest(pairs, groups)[groups.pair])


def repeated(pairs: pa.Table, groups: Groups, most: int) -> tuple[int, pa.Table]:
    """How many pairs have several rows, and all rows of the first `most` of them, pair by pair."""
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
