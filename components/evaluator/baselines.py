"""Simple models to beat: the mean of the training scores, and that mean with a bias per entity."""

from __future__ import annotations

import numpy as np
import scipy.sparse

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
    left_sum = np.bincount(train.left, score - centre, len(left))
    right_sum = np.bincount(train.right, score - centre, len(right))
    # Entry (l, r) is the number of rows of the pair, so that a product adds up the biases of an entity's partners.
    entries = scipy.sparse.coo_array((np.ones(len(train)), (train.left, train.right)), (len(left), len(right)))
    # Products need neither sorted nor distinct entries.
    swapped = entries.T
    entries.has_canonical_format = swapped.has_canonical_format = True
    rows, partners = entries.tocsr(), swapped.tocsr()
    for _ in range(_SWEEPS):
        right = (right_sum - partners @ left) / right_weight
        left = (left_sum - rows @ right) / left_weight
    return np.asarray(centre + left[pairs.eval.left] + right[pairs.eval.right])


def _scores(pairs: CodedPairs) -> np.ndarray:
    assert pairs.train.score is not None, "positives have no score"
    return pairs.train.score.astype(np.float64)
