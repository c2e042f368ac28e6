"""The objectives: losses of the pairs of a batch, computed from scores.

`regression` and `logistic` learn from labels. `logistic`, `softmax`, `pairwise` and `cosine` learn from positives and
sampled negatives. Each loss is a function of plain tensors. Those of `softmax` and `cosine` are in
`trainer.gradient.shared_candidates`. `loss_of` returns the loss of an objective.
"""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from trainer.gradient.scorer import Batch, Scorer
from trainer.gradient.shared_candidates import cosine_loss, softmax_loss
from trainer.settings import ModelSettings


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


# The weighted sum of the losses of a batch `[]`, and the loss of each pair `[b]`.
Losses = tuple[tf.Tensor, tf.Tensor]
Loss = Callable[[Scorer, Batch, ModelSettings], Losses]


def weights_of(batch: Batch) -> tf.Tensor:
    """Returns how much each pair of a batch counts, `[b]`."""
    return batch["weight"] if "weight" in batch else tf.ones_like(batch["label"])


def _summed(losses: tf.Tensor, batch: Batch) -> Losses:
    return tf.reduce_sum(losses * weights_of(batch)), losses


def _regression(scorer: Scorer, batch: Batch, settings: ModelSettings) -> Losses:
    return _summed(squared_error(scorer.pairs(batch), batch["label"]), batch)


def _logistic(scorer: Scorer, batch: Batch, settings: ModelSettings) -> Losses:
    if "negatives" not in batch:
        return _summed(log_loss(scorer.pairs(batch) / settings.temperature, batch["label"]), batch)
    positive, negatives = scorer.pairs_and_negatives(batch)
    return _summed(sampled_log_loss(positive / settings.temperature, negatives / settings.temperature), batch)


def _pairwise(scorer: Scorer, batch: Batch, settings: ModelSettings) -> Losses:
    positive, negatives = scorer.pairs_and_negatives(batch)
    return _summed(pairwise_loss(positive / settings.temperature, negatives / settings.temperature), batch)


def _softmax(scorer: Scorer, batch: Batch, settings: ModelSettings) -> Losses:
    candidates = tf.concat([batch["right"], batch["negatives"]], axis=0)
    log_counts = tf.concat([batch["log_count"], batch["negative_log_count"]], axis=0)
    left, right = scorer.factors(batch)
    return softmax_loss(left / settings.temperature, right, candidates, log_counts, weights_of(batch))


def _cosine(scorer: Scorer, batch: Batch, settings: ModelSettings) -> Losses:
    left, right, negatives = (
        scorer.rows(side, batch[column])[0]
        for side, column in (("left", "left"), ("right", "right"), ("right", "negatives"))
    )

    def is_own(pairs: tf.Tensor) -> tf.Tensor:
        return tf.gather(batch["right"], pairs)[:, None] == batch["negatives"][None, :]

    weight = weights_of(batch)
    return cosine_loss(left, right, negatives, is_own, settings.margin, settings.negative_weight, weight)


_LOSSES: dict[str, Loss] = {
    "regression": _regression,
    "logistic": _logistic,
    "pairwise": _pairwise,
    "softmax": _softmax,
    "cosine": _cosine,
}


def loss_of(objective: str) -> Loss:
    """Returns the loss of an objective, a function of scorer, batch and section `model`.

    It returns the weighted sum of the losses `[]`, which has a gradient, and the losses `[b]`.

    Raises:
      ValueError: the objective is unknown.
    """
    try:
        return _LOSSES[objective]
    except KeyError:
        raise ValueError(f"unknown objective {objective!r}. Choose from {', '.join(_LOSSES)}") from None
