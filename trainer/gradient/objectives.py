"""What training minimises: a loss for each pair of a batch, of scores and what they should be.

`regression` and `logistic` learn from labels; `logistic`, `softmax` and `pairwise` from positives and sampled
negatives. Each is a function of plain tensors. `loss_of` returns the loss of an objective for the rows of a batch.
"""

from __future__ import annotations

from collections.abc import Callable

import keras
import tensorflow as tf

from trainer.model.network import GLOBAL_BIAS, LEFT_BIAS, LEFT_VECTORS, RIGHT_BIAS, RIGHT_VECTORS
from trainer.settings import ModelSettings

Batch = dict[str, tf.Tensor]


def squared_error(scores: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    """(score - label)^2, the squared error of matrix factorisation (Koren, Bell & Volinsky 2009, equation 2).

    `scores`, `labels` `[b]` -> `[b]`.
    """
    return tf.square(scores - labels)


def log_loss(scores: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    """log(1 + exp(-s y)) for y = +1 where the label is positive, else -1 (Bishop 2006, equation 4.90).

    `scores`, `labels` `[b]` -> `[b]`.
    """
    return tf.math.softplus(tf.where(labels > 0, -scores, scores))


def sampled_log_loss(positive: tf.Tensor, negatives: tf.Tensor) -> tf.Tensor:
    """log(1 + exp(-s)) of the positive and log(1 + exp(s)) of each negative, added up (Rendle et al. 2020, section 3).

    `positive` `[b]`, `negatives` `[b, k]` -> `[b]`.
    """
    return tf.math.softplus(-positive) + tf.reduce_sum(tf.math.softplus(negatives), axis=1)


def pairwise_loss(positive: tf.Tensor, negatives: tf.Tensor) -> tf.Tensor:
    """-log sigmoid(positive - negative), the mean over the negatives: BPR (Rendle et al. 2009, section 4.1).

    `positive` `[b]`, `negatives` `[b, k]` -> `[b]`.
    """
    return tf.reduce_mean(tf.math.softplus(negatives - positive[:, None]), axis=1)


def softmax_loss(logits: tf.Tensor, log_counts: tf.Tensor, same: tf.Tensor) -> tf.Tensor:
    """Cross-entropy of each pair's right entity among the candidates of the batch, corrected for how they came there.

    logit := logit - log(expected count of the candidate in a batch): sampled softmax with the correction of Bengio &
    Senecal (2008), in batches as in Yi et al. (2019), equation 3. Another candidate that is the right entity of the
    pair is no negative, and is left out.

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
    """Scores of a batch from the rows it touches, which are read once each and remembered for their penalty."""

    def __init__(self, network: keras.Model, settings: ModelSettings) -> None:
        layers = {layer.name: layer for layer in network.layers}
        shared = layers[LEFT_VECTORS]
        self._vectors = {"left": shared, "right": layers.get(RIGHT_VECTORS, shared)}
        self._biases = {"left": layers.get(LEFT_BIAS), "right": layers.get(RIGHT_BIAS)}
        self._offset = layers.get(GLOBAL_BIAS)
        self._normalize = settings.normalize
        self.touched: list[tf.Tensor] = []

    def rows(self, side: str, ids: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Vectors `[..., d]` and biases `[...]` of the rows `ids` `[...]` of a side."""
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
        """Scores `[b]` of the pairs of a batch."""
        (left, left_bias), (right, right_bias) = self.rows("left", batch["left"]), self.rows("right", batch["right"])
        return tf.reduce_sum(left * right, axis=1) + left_bias + right_bias + self._constant()

    def pairs_and_negatives(self, batch: Batch) -> tuple[tf.Tensor, tf.Tensor]:
        """Scores `[b]` of the pairs, and `[b, k]` of each left entity with the pair's own negatives."""
        left, left_bias = self.rows("left", batch["left"])
        right, right_bias = self.rows("right", batch["right"])
        others, other_bias = self.rows("right", batch["negatives"])
        constant = self._constant()
        positive = tf.reduce_sum(left * right, axis=1) + left_bias + right_bias + constant
        negative = tf.einsum("bd,bkd->bk", left, others) + left_bias[:, None] + other_bias + constant
        return positive, negative

    def pairs_with_all(self, batch: Batch) -> tf.Tensor:
        """Scores `[b, b + m]` of each left entity with all right entities of the batch and its `m` negatives."""
        left, left_bias = self.rows("left", batch["left"])
        right, right_bias = self.rows("right", tf.concat([batch["right"], batch["negatives"]], axis=0))
        return tf.matmul(left, right, transpose_b=True) + left_bias[:, None] + right_bias[None, :] + self._constant()

    def _constant(self) -> tf.Tensor:
        return 0.0 if self._offset is None else tf.convert_to_tensor(self._offset.offset.value)

    def penalty(self) -> tf.Tensor:
        """The squared length of every row that was touched, as often as it was; `[]`.

        So rows are penalised by how often they occur: (r - p.q)^2 + strength (|p|^2 + |q|^2) for each rating (Koren,
        Bell & Volinsky 2009, equation 2).
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
    """The loss `[b]` of each pair of a batch, as a function of scorer, batch and temperature.

    Raises:
      ValueError: the objective is unknown.
    """
    try:
        return _LOSSES[objective]
    except KeyError:
        raise ValueError(f"unknown objective {objective!r}; known: {', '.join(_LOSSES)}") from None
