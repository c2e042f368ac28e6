"""Simple models to beat: the mean of the training scores, and that mean with a bias per entity.

Their values are float32 numbers like those of a published model. The difference of a value and the center, which is a
float32 number too, is then exact, and its sign is no rounding noise.
"""

from __future__ import annotations

import numpy as np
import scipy.sparse

from components.coded_pairs import CodedPairs
from components.evaluator.metrics import Answers
from trainer import features
from trainer.data.examples import SIDES

_SWEEPS = 10
# Sweeps end when no bias changes by more than this share of the typical bias.
_CLOSE = 0.01
_RIDGE = 5.0


def mean(pairs: CodedPairs, center: float, scale: float) -> Answers:
    """Predicts the mean of the training scores for each eval row, and the more frequent sign of the training labels.

    The mean is usually the center, whose score has no sign.

    Args:
      pairs: both splits.
      center: of the labels.
      scale: of the labels.
    """
    score, weight = _scores(pairs), pairs.train.weight
    above = score > center
    positive = np.count_nonzero(above) if weight is None else weight[above].sum(dtype=np.float64)
    mostly_positive = positive > (len(score) if weight is None else weight.sum(dtype=np.float64)) / 2
    count = len(pairs.eval)
    return Answers(np.full(count, _mean(pairs)), np.full(count, 1.0 if mostly_positive else -1.0))


def biases(pairs: CodedPairs, center: float, scale: float) -> Answers:
    """Predicts mean + left bias + right bias for each eval row.

    Fits the biases by alternating least squares. Each bias shrinks as if its entity had five more pairs of zero bias
    (Koren 2009, section 2.1).

    Args:
      pairs: both splits.
      center: of the labels.
      scale: of the labels.
    """
    middle = _mean(pairs)
    left_sum, right_sum = (_deviations(pairs, side, middle) for side in SIDES)
    left_weight, right_weight = (pairs.weights(side) + _RIDGE for side in SIDES)
    of_left = _partners(pairs)
    # A view: with two copies, the entries would be in memory twice.
    of_right = of_left.T
    left = np.zeros(len(left_sum))
    for _ in range(_SWEEPS):
        before = left
        right = (right_sum - of_right @ left) / right_weight
        left = (left_sum - of_left @ right) / left_weight
        if np.abs(left - before).max() <= _CLOSE * left.std():
            break
    value = (middle + left[pairs.eval.left] + right[pairs.eval.right]).astype(np.float32).astype(np.float64)
    return Answers(value, (value - center) / scale)


def _deviations(pairs: CodedPairs, side: str, middle: float) -> np.ndarray:
    """Returns the weighted sum of the scores' distances from `middle` for each id of a side, float64 `[m]`."""
    codes = pairs.train.left if side == features.LEFT else pairs.train.right
    score, weight = _scores(pairs), pairs.train.weight
    weighted = score if weight is None else score * weight.astype(np.float64)
    count = pairs.weights(side)
    return np.bincount(codes, weighted, len(count)) - middle * count


def _partners(pairs: CodedPairs) -> scipy.sparse.csr_array:
    """Returns the weight of the rows of each pair `[l, r]`, so that a product adds up the biases of partners."""
    train = pairs.train
    weight = np.ones(len(train)) if train.weight is None else train.weight.astype(np.float64)
    entries = scipy.sparse.coo_array((weight, (train.left, train.right)), (len(pairs.left_ids), len(pairs.right_ids)))
    # Products need neither sorted nor distinct entries.
    entries.has_canonical_format = True
    return entries.tocsr()


def _mean(pairs: CodedPairs) -> float:
    """Returns the mean as Transform learns it: weighted, and rounded to float32."""
    score, weight = _scores(pairs), pairs.train.weight
    if weight is None:
        return float(np.float32(score.mean(dtype=np.float64)))
    return float(np.float32(np.average(score.astype(np.float64), weights=weight.astype(np.float64))))


def _scores(pairs: CodedPairs) -> np.ndarray:
    assert pairs.train.score is not None, "positives have no score"
    return pairs.train.score
