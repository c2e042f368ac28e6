"""Vectors of unseen entities at request time, as stock TensorFlow ops. See `trainer.model.fold_in`."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from trainer.export.filters import check
from trainer.export.sides import SideVariables
from trainer.model.fold_in import FoldIn, Part


class Given(NamedTuple):
    """The entities that a request gives for each unseen entity.

    Attributes:
      rows: table rows `[n, m]`, 0 if unknown.
      known: whether each is known, bool `[n, m]`. Padding is not.
      score: float `[n, m]`, NaN if the request has no scores.
    """

    rows: tf.Tensor
    known: tf.Tensor
    score: tf.Tensor


def given_of(rows: tf.Tensor, known: tf.Tensor, given_id: tf.Tensor, given_score: tf.Tensor) -> Given:
    """Returns the entities of a request.

    Args:
      rows: table rows `[n * m]` of the given ids.
      known: whether each is known, bool `[n * m]`.
      given_id: string `[n, m]`, padded with the empty string.
      given_score: float `[n, m]`, or any empty tensor for no scores.
    """
    shape, none = tf.shape(given_id), tf.equal(tf.size(given_score), 0)
    same = tf.equal(tf.size(tf.shape(given_score)), 2) & tf.reduce_all(tf.equal(tf.shape(given_score)[:2], shape))
    rule = "given_score must be empty, or have a score for each given_id. Shapes:"
    finite = tf.reduce_all(tf.math.is_finite(given_score))
    checks = [
        check(none | same, [rule, tf.shape(given_score), shape]),
        check(finite, ["given_score must be finite", tf.shape(given_score)]),
    ]
    with tf.control_dependencies(checks):
        # As many numbers as there are ids: the scores, or only NaN. A conditional would cost more than a small request.
        filled = tf.concat([tf.reshape(given_score, [-1]), tf.fill([tf.size(given_id)], np.nan)], axis=0)
        score = tf.reshape(filled[: tf.size(given_id)], shape)
    known = tf.reshape(known, shape)
    return Given(tf.where(known, tf.reshape(rows, shape), 0), known, tf.cast(score, tf.float64))


class FoldInSide(tf.Module):
    """Finds vectors of unseen entities of one side.

    Args:
      name: of the side.
      parts: of its vectors.
      fold_in: what both sides share.
    """

    def __init__(self, name: str, parts: tuple[Part, ...], fold_in: FoldIn) -> None:
        super().__init__(name=f"fold_in_{name}")
        self._parts, self._fold_in = parts, fold_in
        self.precisions = [tf.Variable(part.precision, trainable=False) for part in parts]
        self.pulls = [tf.Variable(part.pull, trainable=False) for part in parts]
        self.weights = [
            tf.Variable(np.asarray(part.weight, np.float32), trainable=False) if np.ndim(part.weight) else None
            for part in parts
        ]

    def rows_of(
        self, given: Given, other: SideVariables, offset: tf.Tensor, center: tf.Tensor, scale: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns vectors `[n, d]` and biases `[n]` of unseen entities.

        Args:
          given: the entities of the other side.
          other: that side.
          offset: of all scores.
          center: label = (score of the training data - center) / scale.
          scale: as above.
        """
        scored = tf.math.is_finite(given.score)
        if self._fold_in.positives:
            rule = "the model learned from positives, so given_score is a weight and must not be negative"
            with tf.control_dependencies([check(~tf.reduce_any(given.score < 0), [rule])]):
                weight, label = tf.where(scored, given.score, 1), tf.constant(self._fold_in.liked, tf.float64)
        else:
            double_center, double_scale = (tf.cast(value, tf.float64) for value in (center, scale))
            label, weight = (given.score - double_center) / double_scale, tf.constant(1, tf.float64)
            if self._fold_in.of_signs is not None:
                below, above = (tf.constant(value, tf.float64) for value in self._fold_in.of_signs)
                label = tf.where(label > 0, above, below)
            label = tf.where(scored, label, self._fold_in.liked)
        weight = weight * tf.cast(given.known, tf.float64)
        bias = tf.gather(other.bias.read_value(), given.rows)
        residual = label - tf.cast(bias + offset, tf.float64)
        vectors = tf.gather(other.vectors.read_value(), given.rows)
        solved = [self._solve(i, given, vectors, weight, residual) for i in range(len(self._parts))]
        if self._fold_in.biased:
            return solved[0][:, :-1], solved[0][:, -1]
        found = tf.concat(solved, axis=1)
        return found, tf.zeros_like(found[:, 0])

    def _solve(self, i: int, given: Given, vectors: tf.Tensor, weight: tf.Tensor, residual: tf.Tensor) -> tf.Tensor:
        """Returns the columns of part `i`, float32 `[n, w]`."""
        part, of_pairs = self._parts[i], self.weights[i]
        rows = vectors[:, :, slice(*part.columns)]
        if self._fold_in.biased:
            rows = tf.concat([rows, tf.ones_like(rows[:, :, :1])], axis=2)
        rows = tf.cast(rows, tf.float64)
        strength, base, exponent = part.penalty
        matrix = self.precisions[i].read_value()
        if strength:
            penalty = strength * (tf.reduce_sum(weight, axis=1) + base) ** exponent
            matrix += penalty[:, None, None] * tf.eye(len(part.pull), dtype=tf.float64)
        if of_pairs is not None:
            weight *= tf.cast(tf.gather(of_pairs.read_value(), given.rows), tf.float64)
        elif part.weight != 1:
            weight *= part.weight
        target = residual if part.target is None else tf.constant(part.target, tf.float64)
        if part.has_pairs:
            matrix += tf.matmul(rows * tf.expand_dims(weight, 2), rows, transpose_a=True)
        pull = self.pulls[i].read_value() + tf.reduce_sum(rows * tf.expand_dims(weight * target, 2), axis=1)
        found = tf.squeeze(tf.linalg.cholesky_solve(tf.linalg.cholesky(matrix), tf.expand_dims(pull, 2)), 2)
        return tf.cast(found, tf.float32)
