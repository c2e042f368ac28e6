"""Quantiles of sorted values against NumPy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.sorted_values import quantiles

NUMBERS = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=30).map(sorted)
LEVELS = st.lists(st.floats(0, 1), max_size=5)


@given(NUMBERS, LEVELS)
def test_quantiles_match_numpy(values: list[float], levels: list[float]) -> None:
    found = quantiles(np.array(values), levels)
    assert found == pytest.approx(np.quantile(values, levels), rel=1e-9, abs=1e-6)


@given(st.floats(-1e6, 1e6), LEVELS)
def test_quantiles_of_equal_values_are_exact(value: float, levels: list[float]) -> None:
    assert set(quantiles(np.full(7, value), levels).tolist()) <= {value}
