"""Finds the zero point of scores for a model of positives, whose loss depends only on the order of scores."""

from __future__ import annotations

import numpy as np

# The number of pairs that is enough for the estimate.
PAIRS = 50_000
_STEPS = 50


def zero_point(positives: np.ndarray, others: np.ndarray, weight: np.ndarray | None = None) -> float:
    """Returns the score at which a pair is equally likely to be a positive or another pair.

    This is a logistic regression with one variable and equal weight of both kinds (Platt 1999), solved by Newton's
    method (Bishop 2006, section 4.3.3). If positives do not score higher, returns the mean of both means.

    Args:
      positives: float `[n]`, scores of positives.
      others: float `[m]`, scores of random pairs.
      weight: how much each pair counts, float `[n]` with m = n. None counts all the same.
    """
    # In float64, because the difference of float32 means of many scores is rounding noise.
    positives, others = positives.astype(np.float64), others.astype(np.float64)
    shares = [
        np.full(len(part), 1 / len(part)) if weight is None else weight / weight.sum(dtype=np.float64)
        for part in (positives, others)
    ]
    means = [float(share @ part) for share, part in zip(shares, (positives, others), strict=True)]
    middle = sum(means) / 2
    if means[0] <= means[1]:
        return middle
    scores = np.concatenate([positives, others])
    scale = max(float(scores.std()), 1e-12)
    inputs = np.stack([(scores - middle) / scale, np.ones_like(scores)], axis=1)
    target = np.concatenate([np.ones(len(positives)), np.zeros(len(others))])
    half = np.concatenate(shares) / 2
    # A small ridge keeps the slope finite if the kinds do not overlap.
    ridge = 1e-3 * np.diag([1.0, 0.0])
    slope = np.zeros(2)
    for _ in range(_STEPS):
        likely = 1 / (1 + np.exp(-inputs @ slope))
        gradient = inputs.T @ (half * (likely - target)) + ridge @ slope
        hessian = (inputs * (half * likely * (1 - likely))[:, None]).T @ inputs + ridge
        step = np.linalg.solve(hessian, gradient)
        slope = slope - step
        if np.abs(step).max() < 1e-10:
            break
    return float(middle - scale * slope[1] / slope[0])


def random_pairs(left: np.ndarray, right: np.ndarray, seed: int) -> tuple[tuple[np.ndarray, np.ndarray], ...]:
    """Samples pairs of the data, and pairs of the same left entities with random right entities.

    Args:
      left: int32 `[n]`, left entities of the training pairs.
      right: int32 `[n]`, right entities of the training pairs.
      seed: of the random choice.
    """
    anyone = np.random.default_rng(seed).choice(np.unique(right), len(left))
    return (left, right), (left, anyone)
