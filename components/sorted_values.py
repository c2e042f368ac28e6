"""Statistics of values that are sorted already."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def quantiles(ordered: np.ndarray, levels: npt.ArrayLike, weights: np.ndarray | None = None) -> np.ndarray:
    """Returns quantiles with linear interpolation, as `np.quantile` does. Reads only the values next to them.

    Args:
      ordered: values in ascending order, `[n]`. At least one.
      levels: numbers from 0 to 1, `[m]`.
      weights: of each value, above 0, `[n]`. Whole numbers repeat the value. Others are shares.

    Returns:
      The quantiles, `[m]`. Between equal values, a quantile is this value to the last bit.
    """
    if weights is None:
        places = np.asarray(levels, np.float64) * (len(ordered) - 1)
        below = np.floor(places).astype(np.int64)
        low, high = ordered[below], ordered[np.minimum(below + 1, len(ordered) - 1)]
    else:
        whole = bool((weights == np.floor(weights)).all())
        ends = np.cumsum(weights if whole else weights / weights.mean())
        places = np.asarray(levels, np.float64) * max(ends[-1] - 1, 0)
        below = np.floor(places)
        low, high = (
            ordered[np.searchsorted(ends, place, "right").clip(max=len(ordered) - 1)] for place in (below, below + 1)
        )
    return np.asarray(low + (high - low) * (places - below))
