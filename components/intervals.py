"""95 % confidence intervals of figures whose rows come in groups: all rows of an entity are one observation.

An interval is the figure plus or minus a quantile of Student's t times its standard error. The groups have different
sizes, so the degrees of freedom are those of as many groups of equal size (Kish 1965). Without two groups there is
no interval.
"""

from __future__ import annotations

import numpy as np
import scipy.special

CONFIDENCE = 0.95


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


def _around(figures: np.ndarray, error: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    effective = np.square(sizes.sum()) / np.square(sizes).sum()
    half = scipy.special.stdtrit(max(effective - 1, 1.0), (1 + CONFIDENCE) / 2) * error
    return np.stack([figures - half, figures + half])
