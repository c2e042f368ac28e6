"""The objectives: losses of the pairs of a batch, computed from scores.

`regression` and `logistic` learn from labels. `logistic`, `softmax` and `pairwise` learn from positives and sampled
negatives. Each loss is a function of plain tensors. `loss_of` returns the loss of an objective.
"""

from __future__ import annotations

from collections.abc import Callable

import keras
import tensorflow as tf

from trainer.model.network import GLOBAL_BIAS, LEFT_BIAS, LEFT_VECTORS, RIGHT_BIAS, RIGHT_VECTORS
from trainer.settings import ModelSettings

Batch = dict[str, tf.Tensor]


def squared_error(scores: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    """Returns (score - label)^2, the squared error of matrix factorization (Koren, Bell & Volinsky 2009, equation 2).

    Args:
      scores: `[b]`.
      labels: `[b]`.

    Returns:
      `[b]`.
    """
    return tf.square(scores - labels)


def log_loss(scores: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    """Returns log(1 + exp(-s y)), where y is +1 for positive labels and -1 for others (Bishop 2006, equation 4.90).

    Args:
      scores: `[b]`.
      labels: `[b]`.

    Returns:
      `[b]`.
    """
    return tf.math.softplus(tf.where(labels > 0, -scores, scores))


def sampled_log_loss(positive: tf.Tensor, negatives: tf.Tensor) -> tf.Tensor:
    """Returns log(1 + exp(-s)) of the positive plus log(1 + exp(s)) of each negative (Rendle et al. 2020, section 3).

    Args:
      positive: `[b]`, scores of positives.
      negatives: `[b, k]`, scores of negatives.

    Returns:
      `[b]`.
    """
    return tf.math.softplus(-positive) + tf.reduce_sum(tf.math.softplus(negatives), axis=1)


def pairwise_loss(positive: tf.Tensor, negatives: tf.Tensor) -> tf.Tensor:
    """Returns the mean over the negatives of -log sigmoid(positive - negative): BPR (Rendle et al. 2009, section 4.1).

    Args:
      positive: `[b]`, scores of positives.
      negatives: `[b, k]`, scores of negatives.

    Returns:
      `[b]`.
    """
    return tf.reduce_mean(tf.math.softplus(negatives - positive[:, None]), axis=1)


def softmax_loss(logits: tf.Tensor, log_counts: tf.Tensor, same: tf.Tensor) -> tf.Tensor:
    """Returns the cross-entropy of each pair's right entity among the candidates of the batch.

    Sampled softmax: the log of the expected count of a candidate in a batch is subtracted from its logit (Bengio &
    Senecal 2008, in batches as in Yi et al. 2019, equation 3). Other candidates that equal the right entity of the pair
    are left out, because they are not negatives.

    Args:
      logits: `[b, c]`, where column i is the right entity of pair i for i < b.
      log_counts: `[c]`.
      same: bool `[b, c]`, whether a candidate is the right entity of the pair.

    Returns:
      `[b]`.
    """
    corrected = logits - log_counts[None, :]
    itself = tf.eye(tf.shape(logits)[0], tf.shape(logits)[1], dtype=tf.bool)
    others = tf.where(same & ~itself, corrected.dtype.min, corrected)
    return tf.reduce_logsumexp(others, axis=1) - tf.linalg.diag_part(corrected)


class Scorer:
    """Computes the scores of a batch. Reads each row that the batch uses once, and keeps it for the penalty.

    Args:
      network: the network with the tables.
      settings: section `model` of the pipeline file.
    """

    def __init__(self, network: keras.Model, settings: ModelSettings) -> None:
        layers = {layer.name: layer for layer in network.layers}
        shared = layers[LEFT_VECTORS]
        self._vectors = {"left": shared, "right": layers.get(RIGHT_VECTORS, shared)}
        self._biases = {"left": layers.get(LEFT_BIAS), "right": layers.get(RIGHT_BIAS)}
        self._offset = layers.get(GLOBAL_BIAS)
        self._normalize = settings.normalize
        self.touched: list[tf.Tensor] = []

    def rows(self, side: str, ids: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns vectors `[..., d]` and biases `[...]` of the rows `ids` `[...]` of a side."""
        vectors = self._vectors[side](ids)
        self.touched.append(vectors)
        layer = self._biases[side]
        if layer is None:
            bias = tf.zeros(tf.shape(ids))
        else:
            bias = layer(ids)
            self.touched.append(bias)
            bias = bias[..., 0]
        return (tf.math.l2_normalize(vectors, axis=-1) if self._normalize else vectors), bias

    def pairs(self, batch: Batch) -> tf.Tensor:
        """Returns the scores `[b]` of the pairs of a batch."""
        (left, left_bias), (right, right_bias) = self.rows("left", batch["left"]), self.rows("right", batch["right"])
        return tf.reduce_sum(left * right, axis=1) + left_bias + right_bias + self._constant()

    def pairs_and_negatives(self, batch: Batch) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns the scores `[b]` of the pairs, and `[b, k]` of each left entity with the negatives of its pair."""
        left, left_bias = self.rows("left", batch["left"])
        right, right_bias = self.rows("right", batch["right"])
        others, other_bias = self.rows("right", batch["negatives"])
        constant = self._constant()
        positive = tf.reduce_sum(left * right, axis=1) + left_bias + right_bias + constant
        negative = tf.einsum("bd,bkd->bk", left, others) + left_bias[:, None] + other_bias + constant
        return positive, negative

    def pairs_with_all(self, batch: Batch) -> tf.Tensor:
        """Scores each left entity with all right entities of the batch and its `m` negatives, `[b, b + m]`."""
        left, left_bias = self.rows("left", batch["left"])
        right, right_bias = self.rows("right", tf.concat([batch["right"], batch["negatives"]], axis=0))
        return tf.matmul(left, right, transpose_b=True) + left_bias[:, None] + right_bias[None, :] + self._constant()

    def _constant(self) -> tf.Tensor:
        return 0.0 if self._offset is None else tf.convert_to_tensor(self._offset.offset.value)

    def penalty(self) -> tf.Tensor:
        """Returns the sum of the squared lengths of all used rows, once for each use, `[]`.

        The penalty of a row therefore grows with its number of pairs: (r - p.q)^2 + strength (|p|^2 + |q|^2) for each
        rating (Koren, Bell & Volinsky 2009, equation 2).
        """
        return tf.add_n([tf.reduce_sum(tf.square(rows)) for rows in self.touched])


Loss = Callable[[Scorer, Batch, float], tf.Tensor]


def _regression(scorer: Scorer, batch: Batch, temperature: float) -> tf.Tensor:
    return squared_error(scorer.pairs(batch), batch["label"])


def _logistic(scorer: Scorer, batch: Batch, temperature: float) -> tf.Tensor:
    if "negatives" not in batch:
        return log_loss(scorer.pairs(batch) / temperature, batch["label"])
    positive, negatives = scorer.pairs_and_negatives(batch)
    return sampled_log_loss(positive / temperature, negatives / temperature)


def _pairwise(scorer: Scorer, batch: Batch, temperature: float) -> tf.Tensor:
    positive, negatives = scorer.pairs_and_negatives(batch)
    return pairwise_loss(positive / temperature, negatives / temperature)


def _softmax(scorer: Scorer, batch: Batch, temperature: float) -> tf.Tensor:
    candidates = tf.concat([batch["right"], batch["negatives"]], axis=0)
    log_counts = tf.concat([batch["log_count"], batch["negative_log_count"]], axis=0)
    same = batch["right"][:, None] == candidates[None, :]
    return softmax_loss(scorer.pairs_with_all(batch) / temperature, log_counts, same)


_LOSSES: dict[str, Loss] = {
    "regression": _regression,
    "logistic": _logistic,
    "pairwise": _pairwise,
    "softmax": _softmax,
}


def loss_of(objective: str) -> Loss:
    """Returns the loss of an objective, a function of scorer, batch and temperature that returns `[b]`.

    Raises:
      ValueError: the objective is unknown.
    """
    try:
        return _LOSSES[objective]
    except KeyError:
        raise ValueError(f"unknown objective {objective!r}. Choose from {', '.join(_LOSSES)}") from None
