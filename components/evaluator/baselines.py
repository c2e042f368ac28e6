"""Simple models to beat: the mean of the training scores, and that mean with a bias per entity.

Their values are float32 numbers like those of a published model. The difference of a value and the center, which is a
float32 number too, is then exact, and its sign is no rounding noise.
"""

from __future__ import annotations

import numpy as np
import scipy.sparse

from components.coded_pairs import CodedPairs
from components.evaluator.metrics import Answers

_SWEEPS = 10
_RIDGE = 5.0


def mean(pairs: CodedPairs, center: float, scale: float) -> Answers:
    """Predicts the mean of the training scores for each eval row, and the more frequent sign of the training labels.

    The mean is usually the center, whose score has no sign.

    Args:
      pairs: both splits.
      center: of the labels.
      scale: of the labels.
    """
    score, weight = _scores(pairs), _weights(pairs)
    count = len(pairs.eval)
    mostly_positive = weight[score > center].sum() > weight.sum() / 2
    return Answers(np.full(count, _mean(score, weight)), np.full(count, 1.0 if mostly_positive else -1.0))


def biases(pairs: CodedPairs, center: float, scale: float) -> Answers:
    """Predicts mean + left bias + right bias for each eval row.

    Fits the biases by alternating least squares. Each bias shrinks as if its entity had five more pairs of zero bias
    (Koren 2009, section 2.1).

    Args:
      pairs: both splits.
      center: of the labels.
      scale: of the labels.
    """
    score, weight, train = _scores(pairs), _weights(pairs), pairs.train
    middle = _mean(score, weight)
    left, right = np.zeros(len(pairs.left_ids)), np.zeros(len(pairs.right_ids))
    left_weight, right_weight = (pairs.weights(side) + _RIDGE for side in ("left", "right"))
    left_sum = np.bincount(train.left, weight * (score - middle), len(left))
    right_sum = np.bincount(train.right, weight * (score - middle), len(right))
    # Entry (l, r) is the weight of the rows of the pair, so that a product adds up the biases of an entity's partners.
    entries = scipy.sparse.coo_array((weight, (train.left, train.right)), (len(left), len(right)))
    # Products need neither sorted nor distinct entries.
    swapped = entries.T
    entries.has_canonical_format = swapped.has_canonical_format = True
    rows, partners = entries.tocsr(), swapped.tocsr()
    for _ in range(_SWEEPS):
        right = (right_sum - partners @ left) / right_weight
        left = (left_sum - rows @ right) / left_weight
    value = (middle + left[pairs.eval.left] + right[pairs.eval.right]).astype(np.float32).astype(np.float64)
    return Answers(value, (value - center) / scale)


def _mean(score: np.ndarray, weight: np.ndarray) -> float:
    """Returns the mean as Transform learns it: weighted, and rounded to float32."""
    return float(np.float32(np.average(score, weights=weight)))


def _scores(pairs: CodedPairs) -> np.ndarray:
    assert pairs.train.score is not None, "positives have no score"
    return pairs.train.score.astype(np.float64)


def _weights(pairs: CodedPairs) -> np.ndarray:
    weight = pairs.train.weight
    return np.ones(len(pairs.train)) if weight is None else weight.astype(np.float64)
