"""Weights by age: a row counts half as much for each half-life between it and the newest row."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from components.pair_example_gen.rules import TIME
from trainer import features

# Older rows count as much as those of this age, so that no weight becomes 0.
_MOST_HALF_LIVES = 100.0


def weights(age: np.ndarray, half_life: float) -> np.ndarray:
    """Returns `0.5 ** (age / half_life)`, float64 `[n]`, at least 2^-100."""
    return np.asarray(0.5 ** np.minimum(np.asarray(age, np.float64) / half_life, _MOST_HALF_LIVES))


def with_span_weight(pairs: pa.Table, age: float, half_life: float) -> pa.Table:
    """Multiplies the weights of rows by that of their span's age. Adds the column where there is none."""
    return _multiplied(pairs, np.full(pairs.num_rows, weights(np.array(age), half_life)))


def with_time_weight(pairs: pa.Table, newest: float, half_life: float) -> pa.Table:
    """Multiplies the weights of rows by that of their age at time `newest`. Adds the column where there is none."""
    return _multiplied(pairs, weights(newest - pairs[TIME].to_numpy(), half_life))


def _multiplied(pairs: pa.Table, factors: np.ndarray) -> pa.Table:
    at = pairs.schema.get_field_index(features.WEIGHT)
    if at >= 0:
        smallest = np.finfo(np.float32).tiny
        product = np.maximum(pairs[features.WEIGHT].to_numpy() * factors, smallest).astype(np.float32)
        return pairs.set_column(at, pairs.schema.field(at), pa.array(product))
    place = sum(name in (features.LEFT_ID, features.RIGHT_ID, features.SCORE) for name in pairs.schema.names)
    return pairs.add_column(place, pa.field(features.WEIGHT, pa.float32()), pa.array(factors.astype(np.float32)))
