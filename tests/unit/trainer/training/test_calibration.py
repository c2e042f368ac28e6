"""The zero point of scores, where two kinds of pairs are equally likely."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.training.calibration import random_pairs, zero_point


def test_zero_point_is_midway_between_equal_normals() -> None:
    """Log densities of the same variance, (x - a)^2 and (x - b)^2, are equal at (a + b) / 2."""
    random = np.random.default_rng(1)
    observed, others = random.normal(4, 1, 50_000), random.normal(1, 1, 20_000)
    assert zero_point(observed, others) == pytest.approx(2.5, abs=0.03)


@given(st.floats(-100, 100), st.floats(0.01, 100))
def test_zero_point_shifts_with_scores(shift: float, scale: float) -> None:
    random = np.random.default_rng(2)
    observed, others = random.normal(1, 1, 300), random.normal(0, 2, 200)
    moved = zero_point(observed * scale + shift, others * scale + shift)
    assert moved == pytest.approx(zero_point(observed, others) * scale + shift, rel=1e-3, abs=1e-3)


def test_weight_of_a_pair_is_as_many_pairs() -> None:
    random = np.random.default_rng(3)
    observed, others, weight = random.normal(1, 1, 90), random.normal(0, 1, 90), random.integers(1, 4, 90)
    repeated = zero_point(np.repeat(observed, weight), np.repeat(others, weight))
    assert zero_point(observed, others, weight.astype(np.float32)) == pytest.approx(repeated, rel=1e-3)


def test_separate_kinds_have_zero_point_between() -> None:
    assert 1 < zero_point(np.array([2.0, 2.1]), np.array([0.9, 1.0, 1.0])) < 2


def test_equal_kinds_have_zero_point_at_mean() -> None:
    assert zero_point(np.array([1.0, 1.0]), np.array([3.0, 3.0, 3.0])) == 2.0
    assert zero_point(np.zeros(3), np.zeros(4)) == 0.0


def test_random_pairs_keep_left_entities() -> None:
    left, right = np.arange(1000), np.repeat([3, 7, 9, 9], 250)
    observed, random = random_pairs(left, right, seed=1)
    assert observed[0] is left and observed[1] is right
    np.testing.assert_array_equal(random[0], left)
    assert set(random[1]) == {3, 7, 9}
    assert np.bincount(random[1])[9] == pytest.approx(333, abs=60)  # uniform over entities, however often they occur
