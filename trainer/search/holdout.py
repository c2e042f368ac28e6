"""The rows that measure the trials of a search: random ones, or the latest ones if rows have times."""

from __future__ import annotations

from typing import TypeVar

import numpy as np

from trainer.data.pairs import Pairs
from trainer.data.sharded_pairs import ShardedPairs
from trainer.search.space import HoldOut

_P = TypeVar("_P", Pairs, ShardedPairs)

# The held-out share of the rows. With the latest row of each left entity, at most this share.
HELD_OUT = 0.1


def hold_out(pairs: _P, times: np.ndarray | None, how: HoldOut, seed: int, shared: bool) -> tuple[_P, Pairs]:
    """Splits off the rows that measure.

    Args:
      pairs: the training pairs.
      times: the time of each row, float64 `[n]`, or None. Rows on disk are always held out at random.
      how: which rows to hold out.
      seed: of the random choice.
      shared: whether both sides are one table.

    Returns:
      The kept rows and the held-out rows.
    """
    if how == "random" or times is None or not isinstance(pairs, Pairs):
        return pairs.hold_out(HELD_OUT, seed, shared)
    held = latest(times) if how == "latest" else latest_of_left(pairs.left, times, seed)
    if held.all() or not held.any():
        return pairs.hold_out(HELD_OUT, seed, shared)
    return pairs.take(~held), pairs.take(held)


def latest(times: np.ndarray) -> np.ndarray:
    """Returns which rows are the latest tenth, bool `[n]`. Rows of the same time stay together."""
    cutoff = np.sort(times)[-max(round(len(times) * HELD_OUT), 1)]
    return np.asarray(times >= cutoff)


def latest_of_left(left: np.ndarray, times: np.ndarray, seed: int) -> np.ndarray:
    """Returns the latest row of each left entity that has other rows, bool `[n]`, but at most a tenth of all rows.

    If that would be more, they are the rows of random entities. Of rows of the same time, the last one counts.
    """
    order = np.lexsort((times, left))
    last = np.flatnonzero(np.append(np.diff(left[order]) != 0, True))
    others = np.diff(last, prepend=-1) > 1
    rows = order[last[others]]
    most = max(int(len(left) * HELD_OUT), 1)
    if len(rows) > most:
        rows = np.random.default_rng(seed).choice(rows, most, replace=False)
    held = np.zeros(len(left), bool)
    held[rows] = True
    return held
