"""Where a score of 0 lies for a model that learned from positives: its loss knows only which pairs score higher."""

from __future__ import annotations

import numpy as np

# Pairs that are enough to find it.
PAIRS = 50_000
_STEPS = 50


def zero_point(positives: np.ndarray, others: np.ndarray) -> float:
    """The score at which a pair is as likely to be one of `positives` as one of `others`, scores `[n]`, `[m]`.

    A logistic regression of one variable, both kinds weighing the same (Platt 1999), by Newton's method (Bishop 2006,
    section 4.3.3). Where positives do not score higher it is the mean of both means.
    """
    middle = (positives.mean() + others.mean()) / 2
    if positives.mean() <= others.mean():
        return float(middle)
    scores = np.concatenate([positives, others]).astype(np.float64)
    scale = max(float(scores.std()), 1e-12)
    inputs = np.stack([(scores - middle) / scale, np.ones_like(scores)], axis=1)
    target = np.concatenate([np.ones(len(positives)), np.zeros(len(others))])
    weight = np.concatenate([np.full(len(positives), 0.5 / len(positives)), np.full(len(others), 0.5 / len(others))])
    # A little ridge keeps the slope finite where the kinds do not overlap.
    ridge = 1e-3 * np.diag([1.0, 0.0])
    slope = np.zeros(2)
    for _ in range(_STEPS):
        likely = 1 / (1 + np.exp(-inputs @ slope))
        gradient = inputs.T @ (weight * (likely - target)) + ridge @ slope
        hessian = (inputs * (weight * likely * (1 - likely))[:, None]).T @ inputs + ridge
        step = np.linalg.solve(hessian, gradient)
        slope = slope - step
        if np.abs(step).max() < 1e-10:
            break
    return float(middle - scale * slope[1] / slope[0])


def random_pairs(left: np.ndarray, right: np.ndarray, seed: int) -> tuple[tuple[np.ndarray, np.ndarray], ...]:
    """The pairs `left`, `right` int32 `[n]`, and as many of the same left entities with any of the right ones."""
    anyone = np.random.default_rng(seed).choice(np.unique(right), len(left))
    return (left, right), (left, anyone)
