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
_BISECTIONS = 50
# Of a count. Entities without rows, or with all rows, have none.
_LEAST_VARIANCE = 1e-9


def score_divergence(rows: int, others: int, bins: int) -> float:
    """Returns the quantile of the Jensen-Shannon divergence (base 2) between two samples of one distribution.

    The divergence of counts in `bins` bins is nearly chi-squared with `bins - 1` degrees of freedom, times
    (1 / rows + 1 / others) / (8 ln 2) (the second-order expansion of the
    divergence around equal shares).
    """
    quantile = scipy.special.chdtri(max(bins - 1, 1), LEVEL)
    return float(quantile * (1 / rows + 1 / others) / (8 * np.log(2)))


def unseen_share(current_rows: int, reference: np.ndarray) -> float:
    """Returns the quantile of the share of rows whose entity is not in the reference.

    The reference itself tells how many entities it misses: its share of entities of one row (Good 1953). The variance
    of that estimate is that of Esty (1983). The share among the current rows is binomial.

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
    return float(missing + _deviations() * np.sqrt(variance))


def entity_distance(share: np.ndarray, rows: int, others: int, least: float) -> np.ndarray:
    """Returns a bound of the difference of each entity's share, float64 `[n]`.

    Given the rows of both sets together, the current rows of an entity are hypergeometric. Such a count is a sum of
    independent trials (Vatutin and Mikhailov 1982), so that Bennett's inequality (1962) holds at every size, also for
    a handful of rows, where the normal approximation does not.

    Args:
      share: share of each entity in both sets together, `[n]`.
      rows: number of rows of one set.
      others: number of rows of the other set.
      least: the bound of the rule. Only entities that exceed it if all of their rows are in one set can break the
        rule, and the level is divided among them.
    """
    total = rows + others
    # Adding half a row keeps an entity that reaches the bound exactly, whatever the rounding of its share.
    compared = max(int(np.count_nonzero(share * total + 0.5 > least * min(rows, others))), 1)
    shares, place = np.unique(share, return_inverse=True)
    variance = np.maximum(rows * others * shares * (1 - shares) / max(total - 1, 1), _LEAST_VARIANCE)
    exponent = np.log(2 * compared / LEVEL)
    low, high = np.zeros(len(shares)), np.full(len(shares), float(min(rows, others)))
    for _ in range(_BISECTIONS):
        moved = (low + high) / 2
        ratio = moved / variance
        reached = variance * ((1 + ratio) * np.log1p(ratio) - ratio) >= exponent
        low, high = np.where(reached, low, moved), np.where(reached, moved, high)
    return np.asarray(np.minimum(high * (total / (rows * others)), 1.0)[place])


def _deviations() -> float:
    """Returns how many standard deviations a normal variable exceeds with probability `LEVEL`."""
    return float(-scipy.special.ndtri(LEVEL))
