"""Confidence intervals by resampling entities, against theory."""

from __future__ import annotations

import numpy as np
import pytest

from components import resampling


def test_interval_of_mean_matches_theory() -> None:
    """The mean of 400 normal values is within 1.96 standard errors in 95 of 100 cases."""
    values = np.random.default_rng(6).normal(3, 2, 400)
    low, high = resampling.mean_interval(values)
    error = values.std() / 20
    assert (low, high) == pytest.approx((values.mean() - 1.96 * error, values.mean() + 1.96 * error), abs=0.2 * error)
    assert resampling.mean_interval(values).tolist() == [low, high]
    assert np.isnan(resampling.mean_interval(np.zeros(0))).all()


def test_intervals_have_nominal_coverage() -> None:
    draw = np.random.default_rng(7)
    intervals = [resampling.mean_interval(draw.normal(1, 1, 60), seed=number) for number in range(200)]
    assert 0.89 < np.mean([low <= 1 <= high for low, high in intervals]) < 0.99
