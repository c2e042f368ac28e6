"""Statistics of values that are sorted already."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def quantiles(
    ordered: np.ndarray, levels: npt.ArrayLike, weights: np.ndarray | None = None, rows: int | None = None
) -> np.ndarray:
    """Returns quantiles with linear interpolation, as `np.quantile` does. Reads only the values next to them.

    Args:
      ordered: values in ascending order, `[n]`. At least one.
      levels: numbers from 0 to 1, `[m]`.
      weights: of each value, above 0, `[n]`. Whole numbers repeat the value. Others are shares.
      rows: the number of rows whose weights are shares. The default is `n`, a row for each value.

    Returns:
      The quantiles, `[m]`. Between equal values, a quantile is this value to the last bit.
    """
    if weights is None:
        places = np.asarray(levels, np.float64) * (len(ordered) - 1)
        below = np.floor(places).astype(np.int64)
        low, high = ordered[below], ordered[np.minimum(below + 1, len(ordered) - 1)]
        return np.asarray(low + (high - low) * (places - below))
    whole = bool((weights == np.floor(weights)).all())
    ends = np.cumsum(weights if whole else weights * ((rows or len(ordered)) / weights.sum()))
    # Sums of shares that differ by rounding are equal.
    equal = 0.0 if whole else 1e-12 * ends[-1]
    places = np.asarray(levels, np.float64) * max(ends[-1] - 1, 0)
    below = np.floor(places + equal)
    low, high = (
        ordered[np.searchsorted(ends, place + equal, "right").clip(max=len(ordered) - 1)]
        for place in (below, below + 1)
    )
    between = places - below
    return np.asarray(low + (high - low) * np.where(between > equal, between, 0.0))
