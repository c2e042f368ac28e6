"""How far two sets of rows from one distribution are apart by chance. A rule of the gate alarms only beyond that.

The rows are assumed to be drawn independently. Rows that come in groups, such as all ratings of a user in one span,
differ more than this allows for.
"""

from __future__ import annotations

import numpy as np
import scipy.special

# Two sets from one distribution raise an alarm in at most this share of cases.
FALSE_ALARM_RATE = 0.05
# Skew and divergence of scores, and unseen share and distance of entities for both sides. Each gets an equal part of
# the rate (Bonferroni), so that the rate holds for the gate as a whole.
_RULES = 6
LEVEL = FALSE_ALARM_RATE / _RULES


def score_divergence(rows: int, others: int, bins: int) -> float:
    """Returns the quantile of the Jensen-Shannon divergence (base 2) between two samples of one distribution.

    The divergence of counts in `bins` bins is nearly chi-squared with `bins - 1` degrees of freedom, times
    (1 / rows + 1 / others) / (8 ln 2) (Grosse et al. 2002, equation 13, for two sequences).
    """
    quantile = scipy.special.chdtri(max(bins - 1, 1), LEVEL)
    return float(quantile * (1 / rows + 1 / others) / (8 * np.log(2)))


def unseen_share(current_rows: int, reference: np.ndarray) -> float:
    """Returns the quantile of the share of rows whose entity is not in the reference.

    The reference itself tells how many entities it misses: its share of entities of one row (Good 1953). The variance
    of that estimate is that of Esty (1983, equation 1). The share among the current rows is binomial.

    Args:
      current_rows: number of rows.
      reference: number of rows of each entity of the reference, int64 `[n]`.
    """
    rows = int(reference.sum())
    # One more than found, because none found is no proof that none is missing.
    once = min(int(np.count_nonzero(reference == 1)) + 1, rows)
    twice = int(np.count_nonzero(reference == 2))
    missing = once / rows
    variance = (once * (1 - missing) + 2 * twice) / rows**2 + missing * (1 - missing) / current_rows
    return float(missing + _deviations(1) * np.sqrt(variance))


def entity_distance(share: np.ndarray, rows: int, others: int, least: float) -> np.ndarray:
    """Returns the quantile of the difference of each entity's share, float64 `[n]`.

    The difference of two binomial shares is nearly normal, with a longer tail if the share is small (the expansion of
    Cornish and Fisher 1938, to the third cumulant).

    Args:
      share: share of each entity in both sets together, `[n]`.
      rows: number of rows of one set.
      others: number of rows of the other set.
      least: the bound of the rule. Only entities whose share is at least half of it can exceed it, and the level is
        divided among them.
    """
    compared = max(int(np.count_nonzero(share >= least / 2)), 1)
    deviation, times = np.sqrt(share * (1 - share) * (1 / rows + 1 / others)), _deviations(2 * compared)
    tail = (times**2 - 1) / 6 / min(rows, others)
    return np.asarray(np.minimum(times * deviation + tail, 1.0))


def _deviations(tests: int) -> float:
    """Returns how many standard deviations a normal variable exceeds with probability `LEVEL / tests`."""
    return float(-scipy.special.ndtri(LEVEL / tests))
