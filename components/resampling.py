"""Percentile bootstrap over entities: how far a figure would move with other entities of the same kind."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

RESAMPLES = 1000
_LEAST_RESAMPLES = 100
_WORK = 50_000_000
# Bytes of the counts of a block of resamples. Large blocks make products of matrices out of products with vectors.
_BLOCK = 64 << 20


def resamples_for(size: int) -> int:
    """How many resamples: 1000, or fewer where each is of so much data that they would take minutes; at least 100."""
    return int(np.clip(_WORK // max(size, 1), _LEAST_RESAMPLES, RESAMPLES))


def interval(
    statistic: Callable[[np.ndarray], np.ndarray], entities: int, size: int, seed: int = 1, confidence: float = 0.95
) -> np.ndarray:
    """The percentile interval of some figures when entities are drawn again, with replacement (Efron 1979).

    Whole entities are drawn, as the rows of one are not independent (the cluster bootstrap of Field & Welsh 2007).

    Args:
      statistic: how often each entity was drawn, int64 `[b, entities]`, to figures float64 `[b, ...]`.
      entities: how many there are.
      size: how many values a resample goes through: more of them, fewer resamples (`resamples_for`).
      seed: the same seed draws the same entities, so that differences of figures are those of pairs.
      confidence: the share of resamples within the interval.

    Returns:
      Lowest and highest value of each figure; float64 `[2, ...]`, NaN where there are no entities.
    """
    draw = np.random.default_rng(seed)
    count = resamples_for(size)
    step = max(_BLOCK // (8 * max(entities, 1)), 1)
    found = []
    for start in range(0, count, step):
        rows = min(step, count - start)
        drawn = draw.integers(0, max(entities, 1), (rows, entities)) + np.arange(rows)[:, None] * entities
        found.append(statistic(np.bincount(drawn.ravel(), minlength=rows * entities).reshape(rows, entities)))
    tail = 100 * (1 - confidence) / 2
    return np.percentile(np.concatenate(found), [tail, 100 - tail], axis=0)


def mean_interval(values: np.ndarray, seed: int = 1) -> np.ndarray:
    """The interval of the mean of `values` `[n]`, or of each column of `[n, m]`: `[2]` or `[2, m]`."""
    if not len(values):
        return np.full((2, *values.shape[1:]), np.nan)
    return interval(lambda counts: counts @ values / len(values), len(values), len(values), seed)
