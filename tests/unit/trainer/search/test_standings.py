"""Standings: the metric decides beyond noise, and the smooth metric decides within noise."""

from __future__ import annotations

import numpy as np
import pytest

from trainer.search.measures import Figure, of_mean
from trainer.search.records import Trial
from trainer.search.standings import Standings


def _standings(*figures: Figure, rising: bool = True) -> Standings:
    standings = Standings(rising)
    for number, figure in enumerate(figures):
        standings.done.append(Trial({"model.dimension": number}, figure.value, 3, 0.1, 3))
        standings.figures.append(figure)
    return standings


def _figure(mean: float, noise: float, smooth: float | None) -> Figure:
    """Returns a figure of 100 units that alternate by `noise` around the mean."""
    return of_mean(mean + noise * np.tile([1.0, -1.0], 50), smooth)


def test_smooth_metric_decides_within_noise() -> None:
    standings = _standings(_figure(0.50, 0.0, 0.3), _figure(0.52, 0.4, 0.2))
    lucky = standings.done[1]
    assert not standings.is_better(lucky, standings.done[0])
    assert standings.best() is standings.done[0]


def test_metric_decides_beyond_noise() -> None:
    standings = _standings(_figure(0.50, 0.0, 0.3), _figure(0.60, 0.4, 0.2))
    assert standings.is_better(standings.done[1], standings.done[0])
    assert standings.best() is standings.done[1]


def test_metric_decides_without_a_smooth_one() -> None:
    standings = _standings(_figure(0.50, 0.0, None), _figure(0.52, 0.4, None))
    assert standings.is_better(standings.done[1], standings.done[0])
    assert standings.best() is standings.done[1]


def test_improvement_can_be_too_small() -> None:
    standings = _standings(_figure(1.0, 0.0, None), _figure(1.02, 0.0, None))
    assert standings.is_better(standings.done[1], standings.done[0], share=0.01)
    assert not standings.is_better(standings.done[1], standings.done[0], share=0.03)


@pytest.mark.parametrize(("value", "good"), [(1.005, True), (1.05, False)])
def test_lower_errors_are_about_as_good(value: float, good: bool) -> None:
    standings = _standings(_figure(1.0, 0.0, None), _figure(value, 0.0, None), rising=False)
    assert standings.best() is standings.done[0]
    assert standings.is_about_as_good(1, 0, 0.01) is good


def test_failed_trial_is_never_the_best() -> None:
    standings = _standings(_figure(0.1, 0.2, 0.3))
    standings.done.insert(0, Trial({}, None, 0, 0.1, 0, fault="too large"))
    standings.figures.insert(0, None)
    assert standings.best().value == pytest.approx(0.1)
    assert not standings.is_better(standings.done[0], standings.done[1])


def test_luck_chooses_no_settings() -> None:
    """Of 40 equal trials, the metric prefers a lucky one. The smooth metric prefers the one that is better."""
    draw, better = np.random.default_rng(3), 7
    figures = [of_mean(draw.normal(0.1, 0.3, 200), 0.20 + 0.01 * (number == better)) for number in range(40)]
    standings = _standings(*figures)
    luckiest = int(np.argmax([figure.value for figure in figures]))
    assert luckiest != better
    assert standings.best_of(range(40)) == better or not standings.within_noise(better, luckiest)
