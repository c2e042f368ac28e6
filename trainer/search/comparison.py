"""Which trials are better than the current settings beyond noise."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import scipy.special

from trainer.search.measures import Figure

CONFIDENCE = 0.95
_RESAMPLES = 2000
# Numbers of a block of resamples.
_BLOCK = 1 << 24


@dataclasses.dataclass(frozen=True)
class Difference:
    """The metric of a trial minus that of the current settings.

    Attributes:
      value: the difference.
      low: the lower end of its interval.
      high: the upper end of its interval.
      better: whether the whole interval is on the better side of 0.
    """

    value: float
    low: float
    high: float
    better: bool


def differences(current: Figure, others: Sequence[Figure], rising: bool, seed: int) -> list[Difference]:
    """Compares trials with the current settings on the same held-out rows.

    The intervals hold together: with a probability of 95 %, all of them contain the true difference. So the best of
    many equal trials does not look better than the current settings because of its luck. The bootstrap draws left
    entities, the same for all trials, with Poisson counts (Hanley & MacGibbon 2006), and the intervals have the
    quantile of the largest of the standardized differences (Westfall & Young 1993, chapter 2. White 2000). With few
    entities, Student's t is wider and counts.

    Args:
      current: of the current settings.
      others: of the trials.
      rising: whether larger values are better.
      seed: of the bootstrap.
    """
    if not others:
        return []
    units = len(current.influence)
    moved = np.stack([other.influence - current.influence for other in others], axis=1)
    drawn, draw = [], np.random.default_rng(seed)
    step = max(_BLOCK // max(units, 1), 1)
    for start in range(0, _RESAMPLES, step):
        counts = draw.poisson(1.0, (min(step, _RESAMPLES - start), units))
        drawn.append(counts.astype(np.float64) @ moved)
    resampled = np.concatenate(drawn)
    error = resampled.std(axis=0)
    standard = np.abs(resampled) / np.where(error > 0, error, np.inf)
    quantile = float(np.quantile(standard.max(axis=1), CONFIDENCE))
    active = int(np.count_nonzero(np.abs(moved).sum(axis=1)))
    if active > 1:
        quantile = max(quantile, float(scipy.special.stdtrit(active - 1, (1 + CONFIDENCE) / 2)))
    found = []
    for other, half in zip(others, quantile * error, strict=True):
        value = other.value - current.value
        # A single entity shows no spread, so nothing is proven.
        proven = active > 1 and (value > half if rising else -value > half)
        found.append(Difference(value, value - half, value + half, bool(proven and half > 0)))
    return found
