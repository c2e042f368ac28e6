"""Statistics of values that are sorted already."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def quantiles(ordered: np.ndarray, levels: npt.ArrayLike) -> np.ndarray:
    """Returns quantiles with linear interpolation, as `np.quantile` does. Reads only the values next to them.

    Args:
      ordered: values in ascending order, `[n]`. At least one.
      levels: numbers from 0 to 1, `[m]`.

    Returns:
      The quantiles, `[m]`. Between equal values, a quantile is this value to the last bit.
    """
    places = np.asarray(levels, np.float64) * (len(ordered) - 1)
    below = np.floor(places).astype(np.int64)
    low, high = ordered[below], ordered[np.minimum(below + 1, len(ordered) - 1)]
    return np.asarray(low + (high - low) * (places - below))
