"""Confidence intervals of groups of rows, against theory and against each other."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats

from components import intervals


def test_the_interval_of_a_mean_is_the_textbook_one() -> None:
    values = np.random.default_rng(6).normal(3, 2, (40, 2))
    expected = scipy.stats.t.interval(0.95, 39, values.mean(axis=0), scipy.stats.sem(values, axis=0))
    assert intervals.of_means(values) == pytest.approx(np.array(expected))
    assert intervals.of_means(values[:, 0]) == pytest.approx(np.array(expected)[:, 0])


def test_without_two_groups_there_is_no_interval() -> None:
    assert np.isnan(intervals.of_means(np.zeros(1))).all()
    assert intervals.of_means(np.zeros((0, 3))).shape == (2, 3)
    assert np.isnan(intervals.of_sums(np.ones(1), np.zeros((3, 1)), np.array([0, 5, 0]))).all()


def grouped(draw: np.random.Generator, groups: int) -> tuple[np.ndarray, np.ndarray]:
    """Sums and sizes of groups of several rows each, which share a deviation. The mean of a row is 1."""
    sizes = draw.integers(1, 9, groups).astype(np.float64)
    deviation = draw.normal(0, 0.5, groups)
    return sizes + deviation * sizes + draw.normal(0, 1, groups) * np.sqrt(sizes), sizes


def of_ratio(sums: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    mean = sums.sum() / sizes.sum()
    return intervals.of_sums(np.array([mean]), ((sums - sizes * mean) / sizes.sum())[:, None], sizes)[:, 0]


@pytest.mark.parametrize("groups", [5, 12, 60])
def test_intervals_of_grouped_rows_have_their_confidence(groups: int) -> None:
    draw, times = np.random.default_rng(7), 600
    found = [of_ratio(*grouped(draw, groups)) for _ in range(times)]
    missed = sum(not low <= 1 <= high for low, high in found)
    low, high = scipy.stats.binom.interval(0.999, times, 0.05)
    # Few groups of different sizes get an interval that is a little too wide.
    assert missed <= high and (groups < 60 or missed >= low)
