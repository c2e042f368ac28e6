"""The map from features to vectors: ridge regression, with a penalty that predicts held-out entities best."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import scipy.sparse

# A penalty is the number of entities at which a value of a feature has half of its effect.
PENALTIES = (0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0)
_HELD_OUT = 0.2
# So many entities are enough to choose the penalty.
_CHOOSING = 50_000
# Pairs at which an entity counts half. The vector of an entity with few pairs is mostly noise.
_HALF = 5.0
# Wider rows are solved by conjugate gradients, because a dense matrix of their products would be too large.
_DIRECT = 4096
_STEPS = 100
_SMALL = 1e-5


@dataclasses.dataclass(frozen=True)
class FeatureMap:
    """The vector and the bias of an entity are `row @ weights`, with a row of `FeatureEncoder`.

    Attributes:
      weights: float32 `[width, d + 1]`. The last column gives the bias.
      penalty: the chosen penalty.
      explained: the share of the variance of held-out entities that the features explain, at most 1.
    """

    weights: np.ndarray
    penalty: float
    explained: float


def fit(features: scipy.sparse.csr_matrix, targets: np.ndarray, pairs: np.ndarray, seed: int) -> FeatureMap:
    """Fits the map to entities of the train split (Gantner et al. 2010, "Learning attribute-to-feature mappings").

    Minimizes, with w = n / (n + 5) for an entity with n pairs and m the weighted mean of the targets,

        sum over the entities of w |target - m - features @ weights|^2 + penalty |weights|^2

    Args:
      features: float32 `[entities, width]`. The last column is 1, and gets m.
      targets: float32 `[entities, d + 1]`, vectors and biases.
      pairs: `[entities]`, the number of pairs of each entity, above 0.
      seed: of the choice of held-out entities.
    """
    count = len(targets)
    if not count:
        return FeatureMap(np.zeros((features.shape[1], targets.shape[1]), np.float32), PENALTIES[-1], 0.0)
    weights = (pairs / (pairs + _HALF)).astype(np.float64)
    penalty, explained = PENALTIES[-1], 0.0
    if count > 2:
        order = np.random.default_rng(seed).permutation(count)[:_CHOOSING]
        held, kept = np.split(order, [max(round(_HELD_OUT * len(order)), 1)])
        penalty, explained = _choose(features, targets, weights, kept, held)
    (solution,) = _solutions(features, targets, weights, [penalty])
    return FeatureMap(solution.astype(np.float32), penalty, explained)


def _choose(
    features: scipy.sparse.csr_matrix, targets: np.ndarray, weights: np.ndarray, kept: np.ndarray, held: np.ndarray
) -> tuple[float, float]:
    """Returns the penalty with the least error on held-out entities, and the share of variance it explains."""
    errors = [
        float(weights[held] @ np.square(targets[held] - features[held] @ solution).sum(axis=1))
        for solution in _solutions(features[kept], targets[kept], weights[kept], PENALTIES)
    ]
    mean = np.average(targets[kept], axis=0, weights=weights[kept])
    total = float(weights[held] @ np.square(targets[held] - mean).sum(axis=1))
    best = int(np.argmin(errors))
    return PENALTIES[best], 1 - errors[best] / total if total > 0 else 0.0


def _solutions(
    features: scipy.sparse.csr_matrix, targets: np.ndarray, weights: np.ndarray, penalties: Sequence[float]
) -> list[np.ndarray]:
    """Returns the solution of each penalty, float64 `[width, d + 1]`."""
    features = features.astype(np.float64)
    mean = np.average(targets, axis=0, weights=weights)
    weighted = features.T.multiply(weights).tocsr()
    right = weighted @ (targets.astype(np.float64) - mean)
    if features.shape[1] <= _DIRECT:
        values, vectors = np.linalg.eigh((weighted @ features).toarray())
        rotated = vectors.T @ right
        found = [vectors @ (rotated / (np.maximum(values, 0)[:, None] + penalty)) for penalty in penalties]
    else:
        found = _by_gradients(features, weighted, right, penalties)
    for solution in found:
        solution[-1] += mean
    return found


def _by_gradients(
    features: scipy.sparse.csr_matrix,
    weighted: scipy.sparse.csr_matrix,
    right: np.ndarray,
    penalties: Sequence[float],
) -> list[np.ndarray]:
    """Solves by conjugate gradients (Golub & Van Loan 2013, 11.3.3). Each penalty starts from the last solution."""
    found, solution = {}, np.zeros_like(right)
    tiny, goal = np.finfo(np.float64).tiny, _SMALL**2 * np.square(right).sum(axis=0).max()
    for penalty in sorted(penalties, reverse=True):
        residuals = right - weighted @ (features @ solution) - penalty * solution
        directions, lengths = residuals.copy(), np.square(residuals).sum(axis=0)
        for _ in range(_STEPS):
            if lengths.max() <= goal:
                break
            image = weighted @ (features @ directions) + penalty * directions
            steps = lengths / np.maximum((directions * image).sum(axis=0), tiny)
            solution = solution + steps * directions
            residuals -= steps * image
            before, lengths = lengths, np.square(residuals).sum(axis=0)
            directions = residuals + lengths / np.maximum(before, tiny) * directions
        found[penalty] = solution
    return [found[penalty].copy() for penalty in penalties]
