"""95 % confidence intervals of figures whose rows come in groups: all rows of an entity are drawn together.

An interval is the figure plus or minus a quantile of Student's t times its standard error. The groups have different
sizes, so the degrees of freedom are those of as many groups of equal size (Kish 1965). Without two groups there is
no interval.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import scipy.special

CONFIDENCE = 0.95
_RESAMPLES, _LEAST_RESAMPLES = 1000, 100
_WORK = 50_000_000
# Bytes of the counts of a block of resamples. Large blocks make products of matrices out of products with vectors.
_BLOCK = 64 << 20


def of_means(values: np.ndarray) -> np.ndarray:
    """Returns the interval of the mean of independent `values` `[n]` or of each column of `[n, m]`: `[2]`, `[2, m]`."""
    if len(values) < 2:
        return np.full((2, *values.shape[1:]), np.nan)
    error = values.std(axis=0, ddof=1) / np.sqrt(len(values))
    return _around(values.mean(axis=0), error, np.ones(len(values)))


def of_sums(figures: np.ndarray, influence: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Returns the intervals of smooth functions of sums over groups, float64 `[2, k]`.

    The standard error is that of the linear approximation (the delta method for clusters).

    Args:
      figures: the functions of the sums of all groups, `[k]`.
      influence: how much each group moves each function, `[groups, k]`. Its columns add up to 0.
      sizes: weight of each group, `[groups]`. Groups of size 0 do not count.
    """
    groups = np.count_nonzero(sizes)
    if groups < 2:
        return np.full((2, len(figures)), np.nan)
    error = np.sqrt(np.square(influence).sum(axis=0) * groups / (groups - 1))
    return _around(figures, error, sizes)


def of_resampling(
    statistic: Callable[[np.ndarray], np.ndarray], sizes: np.ndarray, work: int, seed: int = 1
) -> np.ndarray:
    """Returns the intervals of any figures, float64 `[2, k]`. Draws the groups again (Field and Welsh 2007).

    Args:
      statistic: how often each group was drawn, int64 `[b, groups]`, to figures float64 `[b, k]`.
      sizes: weight of each group, `[groups]`.
      work: how many values a resample goes through. More of them, fewer resamples: between 1000 and 100.
      seed: the same seed draws the same groups.
    """
    groups, draw = len(sizes), np.random.default_rng(seed)
    figures = statistic(np.ones((1, groups), np.int64))[0]
    if np.count_nonzero(sizes) < 2:
        return np.full((2, len(figures)), np.nan)
    count = int(np.clip(_WORK // max(work, 1), _LEAST_RESAMPLES, _RESAMPLES))
    step = max(_BLOCK // (8 * groups), 1)
    found = []
    for start in range(0, count, step):
        rows = min(step, count - start)
        drawn = draw.integers(0, groups, (rows, groups)) + np.arange(rows)[:, None] * groups
        found.append(statistic(np.bincount(drawn.ravel(), minlength=rows * groups).reshape(rows, groups)))
    # A resample can miss a class, and then has no figure.
    resampled = np.concatenate(found)
    valued = np.isfinite(resampled).all(axis=1)
    if np.count_nonzero(valued) < 2:
        return np.full((2, len(figures)), np.nan)
    error = resampled[valued].std(axis=0, ddof=1) * np.sqrt(groups / (groups - 1))
    return _around(figures, error, sizes)


def _around(figures: np.ndarray, error: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    effective = np.square(sizes.sum()) / np.square(sizes).sum()
    half = scipy.special.stdtrit(max(effective - 1, 1.0), (1 + CONFIDENCE) / 2) * error
    return np.stack([figures - half, figures + half])
