"""Simple models to beat: the mean of the training scores, and that mean with a bias per entity."""

from __future__ import annotations

import numpy as np

from components.coded_pairs import CodedPairs

_SWEEPS = 10
_RIDGE = 5.0


def mean(pairs: CodedPairs) -> np.ndarray:
    """Returns the mean of the training scores for each eval row, float64 `[n]`."""
    return np.full(len(pairs.eval), _scores(pairs).mean())


def biases(pairs: CodedPairs) -> np.ndarray:
    """Returns mean + left bias + right bias for each eval row, float64 `[n]`.

    Fits the biases by alternating least squares. Each bias shrinks as if its entity had five more pairs of zero bias
    (Koren 2009, section 2.1).
    """
    score, train = _scores(pairs), pairs.train
    centre = score.mean()
    left, right = np.zeros(len(pairs.left_ids)), np.zeros(len(pairs.right_ids))
    left_weight, right_weight = (pairs.counts(side) + _RIDGE for side in ("left", "right"))
    for _ in range(_SWEEPS):
        right = np.bincount(train.right, score - centre - left[train.left], len(right)) / right_weight
        left = np.bincount(train.left, score - centre - right[train.right], len(left)) / left_weight
    return np.asarray(centre + left[pairs.eval.left] + right[pairs.eval.right])


def _scores(pairs: CodedPairs) -> np.ndarray:
    assert pairs.train.score is not None, "positives have no score"
    return pairs.train.score.astype(np.float64)
