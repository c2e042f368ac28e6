"""Learns from a trained model how vectors of unseen entities are found (`trainer.model.fold_in`)."""

from __future__ import annotations

import dataclasses

import keras
import numpy as np

from trainer.data.pairs import Pairs, TrainingPairs
from trainer.model.fold_in import FoldIn, Part
from trainer.model.network import GLOBAL_BIAS, LEFT_BIAS, LEFT_VECTORS, RIGHT_BIAS, RIGHT_VECTORS
from trainer.settings import AlsSettings, ModelSettings
from trainer.training.prior import noise_of, prior_of

# The objectives whose rows have a closed form, if the other table is fixed.
_SOLVED = ("ials", "spectral", "blend")
# Pairs that are enough for means, and for entities with several pairs each.
_PAIRS = 1 << 20
# The label of a pair that is given without one, as a quantile of the labels.
_LIKED = 0.99
# The least eigenvalue of a matrix, relative to the largest, as in training.
_LEAST_EIGENVALUE = 1e-7


@dataclasses.dataclass(frozen=True)
class _Table:
    """Vectors float32 `[rows, d]` and biases float32 `[rows]` of one side. The first `known` are of known ids."""

    vectors: np.ndarray
    bias: np.ndarray
    known: int


def learn_fold_in(
    network: keras.Model, pairs: TrainingPairs, known: tuple[int, int], model: ModelSettings, als: AlsSettings
) -> FoldIn:
    """Returns how the vectors of unseen entities are found.

    `ials`, `spectral` and `blend` have a closed form: the system that a sweep solves for the row of an entity, with the
    final table of the other side. The other objectives have none for all of their terms. There, the vector is the most
    probable one under the distribution of the trained vectors, given the scores of its pairs (Bayesian linear
    regression: Bishop 2006, equations 3.50 and 3.51).

    Args:
      network: the trained network.
      pairs: the training pairs.
      known: the numbers of known left and right ids.
      model: section `model` of the pipeline file.
      als: section `train.als` of the pipeline file.
    """
    left, right = _tables(network, known, model)
    if model.objective in _SOLVED and isinstance(pairs, Pairs):
        counts = [
            np.bincount(own, pairs.weight, minlength=len(table.vectors)).astype(np.float64)
            for own, table in ((pairs.left, left), (pairs.right, right))
        ]
        sides = [
            _whole_data_parts(one, other, counts[i], counts[1 - i], model, als)
            for i, (one, other) in enumerate(((left, right), (right, left)))
        ]
        return FoldIn(*_with_one_scale(sides[0], sides[1]), biased=False, positives=True)
    offset = float(network.get_layer(GLOBAL_BIAS).get_weights()[0]) if _has(network, GLOBAL_BIAS) else 0.0
    return _by_distribution(_sample(pairs, known), left, right, offset, _has(network, LEFT_BIAS), model)


def _tables(network: keras.Model, known: tuple[int, int], model: ModelSettings) -> tuple[_Table, _Table]:
    def table(vectors: str, bias: str, count: int) -> _Table:
        rows = np.asarray(network.get_layer(vectors).get_weights()[0])
        if model.has_unit_vectors:
            rows = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
        biases = network.get_layer(bias).get_weights()[0][:, 0] if _has(network, bias) else np.zeros(len(rows))
        return _Table(rows, np.asarray(biases, np.float32), count)

    right = RIGHT_VECTORS if _has(network, RIGHT_VECTORS) else LEFT_VECTORS
    return table(LEFT_VECTORS, LEFT_BIAS, known[0]), table(right, RIGHT_BIAS, known[1])


def _has(network: keras.Model, name: str) -> bool:
    return any(layer.name == name for layer in network.layers)


def _whole_data_parts(
    own: _Table, other: _Table, own_counts: np.ndarray, other_counts: np.ndarray, model: ModelSettings, als: AlsSettings
) -> list[Part]:
    """Returns the parts of a side for the objectives over all pairs."""
    d = model.dimension
    split = {"ials": d, "spectral": 0, "blend": d - d // 2}[model.objective]
    parts = []
    if split:
        base = model.unobserved_weight * int((other_counts > 0).sum())
        frequency = own_counts[own_counts > 0] + base
        level = frequency.sum() / (frequency**als.frequency_exponent).sum()
        precision = model.unobserved_weight * _gramian(other.vectors[:, :split], np.ones(len(other.vectors)))
        penalty = (model.regularization * float(level), float(base), als.frequency_exponent)
        parts.append(Part((0, split), _regular(precision), np.zeros(split), 1.0, 1.0, penalty))
    if split < d:
        weight = np.where(other_counts > 0, np.maximum(other_counts, 1e-12) ** (-2 * model.popularity_exponent), 0)
        precision = _gramian(other.vectors[:, split:], weight)
        of_known = weight[: other.known].astype(np.float32)
        parts.append(Part((split, d), _regular(precision), np.zeros(d - split), of_known, 1.0, has_pairs=False))
    return parts


def _with_one_scale(left: list[Part], right: list[Part]) -> tuple[tuple[Part, ...], tuple[Part, ...]]:
    """Sets the scores that spectral parts give to a pair.

    `Blend` multiplies both tables of the spectral model by a number. Without it, the Gramian of the right rows,
    weighted as in training, would be the identity. So the number is known from this Gramian.
    """
    if right and not left[-1].has_pairs:
        diagonal = np.diag(left[-1].precision)
        target = float(diagonal[diagonal > 1e-3 * diagonal.max()].mean())
        left[-1], right[-1] = (dataclasses.replace(part, target=target) for part in (left[-1], right[-1]))
    return tuple(left), tuple(right)


def _gramian(rows: np.ndarray, weight: np.ndarray) -> np.ndarray:
    total = np.zeros((rows.shape[1],) * 2)
    for start in range(0, len(rows), 1 << 16):
        part = rows[start : start + (1 << 16)].astype(np.float64)
        total += (part * weight[start : start + (1 << 16), None]).T @ part
    return total


def _regular(matrix: np.ndarray) -> np.ndarray:
    """Adds what makes a symmetric matrix positive definite, even if columns of the table are zero."""
    least = max(float(np.linalg.eigvalsh(matrix)[-1]) * _LEAST_EIGENVALUE, 1e-12)
    return np.asarray(matrix + least * np.eye(len(matrix)))


def _sample(pairs: TrainingPairs, known: tuple[int, int]) -> Pairs:
    """Returns some pairs of known ids."""
    some = pairs.sample(np.random.default_rng(0), _PAIRS)
    return some.take(np.flatnonzero((some.left < known[0]) & (some.right < known[1])))


def _by_distribution(
    pairs: Pairs, left: _Table, right: _Table, offset: float, biased: bool, model: ModelSettings
) -> FoldIn:
    """Returns the parts from the distribution of the rows of each side."""
    regression = model.objective == "regression"
    # Regression explains labels, not scores.
    scores = np.zeros(0, np.float32) if regression else _scores(pairs, left, right, offset)
    positives = not regression and pairs.positives_only
    # A weak label would hardly move a row away from the average one.
    liked = float(np.quantile(pairs.label, _LIKED)) if len(pairs) else 1.0
    of_signs, labels = None, pairs.label
    if positives:
        liked = _mean(scores, np.ones(len(scores), bool), default=1.0)
        labels = np.full(len(scores), liked, np.float32)
    elif not regression:
        of_signs = (
            _mean(scores, pairs.label <= 0, default=float(scores.min(initial=0))),
            _mean(scores, pairs.label > 0, default=float(scores.max(initial=0))),
        )
        liked, labels = of_signs[1], np.where(pairs.label > 0, of_signs[1], of_signs[0]).astype(np.float32)

    def part(own: _Table, other: _Table, mine: np.ndarray, others: np.ndarray) -> Part:
        mean, covariance = prior_of(_rows(own, own.bias, biased)[: own.known])
        if positives:
            noise = float(np.var(scores)) if len(scores) else 1.0
        else:
            design = _rows(other, np.ones(len(other.bias), np.float32), biased)
            targets = labels - other.bias[others] - np.float32(offset)
            noise = noise_of(mean, covariance, design, mine, others, targets)
        precision = max(noise, 1e-6) * np.linalg.inv(covariance)
        # Only the direction of a unit vector counts, and it should be that of the vectors of its partners.
        target = 1.0 if positives and model.has_unit_vectors else None
        return Part((0, own.vectors.shape[1]), precision, precision @ mean, 1.0, target)

    of_left = part(left, right, pairs.left, pairs.right)
    of_right = part(right, left, pairs.right, pairs.left)
    return FoldIn((of_left,), (of_right,), biased, positives, liked, of_signs)


def _scores(pairs: Pairs, left: _Table, right: _Table, offset: float) -> np.ndarray:
    scores = np.einsum("nd,nd->n", left.vectors[pairs.left], right.vectors[pairs.right])
    return np.asarray(scores + left.bias[pairs.left] + right.bias[pairs.right] + np.float32(offset))


def _rows(table: _Table, last: np.ndarray, biased: bool) -> np.ndarray:
    return np.concatenate([table.vectors, last[:, None]], axis=1) if biased else table.vectors


def _mean(values: np.ndarray, chosen: np.ndarray, default: float) -> float:
    return float(values[chosen].mean(dtype=np.float64)) if chosen.any() else default
