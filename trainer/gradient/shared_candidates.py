"""Losses of pairs against candidates that all pairs of the batch share, computed in blocks of pairs.

The scores of a block are one matrix product. Its losses and gradients are computed before the next block, so memory
does not grow with the square of the batch, and scores are read again while they are in the cache. Each loss here
returns its weighted sum and its values. Only the sum has a gradient.
"""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

# Maps the scores `[r, n]` of some pairs, and the places of these pairs in the batch `[r]`, to the losses `[r]` of the
# pairs and to the derivatives `[r, n]` of each loss by the scores of its pair.
BlockLoss = Callable[[tf.Tensor, tf.Tensor], tuple[tf.Tensor, tf.Tensor]]

# The number of scores of a block, 16 MiB. Larger blocks are slower, because they do not stay in the cache. Smaller ones
# make smaller matrix products.
BLOCK = 1 << 22


def softmax_loss(
    left: tf.Tensor, right: tf.Tensor, candidates: tf.Tensor, log_counts: tf.Tensor, weight: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the cross-entropy of each pair's right entity among the candidates of the batch.

    Sampled softmax: the log of the expected count of a candidate in a batch is subtracted from its logit (Bengio &
    Senecal 2008, in batches as in Yi et al. 2019, equation 3). Other candidates that equal the right entity of the pair
    are left out, because they are not negatives.

    Args:
      left: `[b, k]`, where left times the transpose of `right` are the logits.
      right: `[c, k]`, where row i is the right entity of pair i for i < b.
      candidates: int32 `[c]`, the numbers of the right entities.
      log_counts: `[c]`, of the right entities.
      weight: `[b]`, how much each pair counts.

    Returns:
      The weighted sum `[]`, and the loss of each pair `[b]`.
    """
    # Equal candidates have equal logits. One column with the log of their number replaces them.
    distinct, column = tf.unique(candidates)
    count = tf.size(distinct)
    first = tf.math.unsorted_segment_min(tf.range(tf.size(candidates)), column, count)
    log_number = tf.math.log(tf.math.unsorted_segment_sum(tf.ones_like(log_counts), column, count))
    correction = log_number - tf.gather(log_counts, first)
    own = column[: tf.shape(left)[0]]
    own_log_number = tf.gather(log_number, own)

    def of_block(logits: tf.Tensor, pairs: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        target = tf.gather(own, pairs)
        place = tf.stack([tf.range(tf.size(pairs)), target], axis=1)
        logits = tf.tensor_scatter_nd_sub(logits, place, tf.gather(own_log_number, pairs))
        losses, slopes = tf.raw_ops.SparseSoftmaxCrossEntropyWithLogits(features=logits, labels=target)
        return losses, slopes

    left = tf.concat([left, tf.ones_like(left[:, :1])], axis=1)
    right = tf.concat([tf.gather(right, first), correction[:, None]], axis=1)
    return in_blocks(of_block, left, right, weight)


def cosine_loss(
    left: tf.Tensor,
    right: tf.Tensor,
    negatives: tf.Tensor,
    is_own: Callable[[tf.Tensor], tf.Tensor],
    margin: float,
    negative_weight: float,
    weight: tf.Tensor,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns 1 - cos(positive) + w times the mean over the negatives of max(0, cos(negative) - margin).

    The cosine contrastive loss (Mao et al. 2021, "SimpleX", equation 1), with the same negatives for all pairs. A
    negative that equals the right entity of the pair adds 0.

    Args:
      left: `[b, d]`, unit vectors.
      right: `[b, d]`, unit vectors of the right entities of the pairs.
      negatives: `[n, d]`, unit vectors.
      is_own: maps places of pairs `[r]` to bool `[r, n]`, whether a negative is the right entity of the pair.
      margin: negatives with a smaller cosine are far enough.
      negative_weight: w.
      weight: `[b]`, how much each pair counts.

    Returns:
      The weighted sum `[]`, and the loss of each pair `[b]`.
    """
    share = negative_weight / tf.cast(tf.shape(negatives)[0], left.dtype)

    def of_block(cosines: tf.Tensor, pairs: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        excess = tf.where(is_own(pairs), 0.0, tf.nn.relu(cosines - margin))
        return share * tf.reduce_sum(excess, axis=1), share * tf.cast(excess > 0, cosines.dtype)

    far, of_negatives = in_blocks(of_block, left, negatives, weight)
    near = 1 - tf.reduce_sum(left * right, axis=1)
    return tf.reduce_sum(weight * near) + far, tf.stop_gradient(near) + of_negatives


def in_blocks(of_block: BlockLoss, left: tf.Tensor, right: tf.Tensor, weight: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Computes a loss of each pair from its scores with all candidates.

    Args:
      of_block: the loss of the pairs of a block.
      left: `[b, k]`.
      right: `[n, k]`. The scores are left times the transpose of right.
      weight: `[b]`, how much each pair counts.

    Returns:
      The weighted sum of the losses `[]`, whose gradients are those of `left` and `right`, and the losses `[b]`, which
      have no gradient.
    """

    @tf.custom_gradient
    def total_of(left: tf.Tensor, right: tf.Tensor) -> tuple[tuple[tf.Tensor, tf.Tensor], Callable[..., object]]:
        losses, by_left, by_right = _over_blocks(of_block, left, right, weight)

        def gradient(of_total: tf.Tensor, _: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            return of_total * by_left, of_total * by_right

        return (tf.reduce_sum(weight * losses), losses), gradient

    total, losses = total_of(left, right)
    return total, tf.stop_gradient(losses)


def _over_blocks(
    of_block: BlockLoss, left: tf.Tensor, right: tf.Tensor, weight: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Returns the losses `[b]`, and the gradients `[b, k]` and `[n, k]` of their weighted sum."""
    pairs = tf.shape(left)[0]
    size = tf.clip_by_value(BLOCK // tf.maximum(tf.shape(right)[0], 1), 1, tf.maximum(pairs, 1))
    blocks = -(-pairs // size)

    def step(
        block: tf.Tensor, losses: tf.TensorArray, by_left: tf.TensorArray, by_right: tf.Tensor
    ) -> tuple[tf.Tensor, tf.TensorArray, tf.TensorArray, tf.Tensor]:
        part = tf.range(block * size, tf.minimum((block + 1) * size, pairs))
        rows, counts = left[block * size : (block + 1) * size], weight[block * size : (block + 1) * size, None]
        values, slopes = of_block(tf.matmul(rows, right, transpose_b=True), part)
        return (
            block + 1,
            losses.write(block, values),
            by_left.write(block, counts * tf.matmul(slopes, right)),
            by_right + tf.matmul(slopes, counts * rows, transpose_a=True),
        )

    # Blocks differ in shape, because the last one is smaller.
    losses, by_left = (tf.TensorArray(left.dtype, size=blocks, infer_shape=False) for _ in range(2))
    _, losses, by_left, by_right = tf.while_loop(
        lambda block, *_: block < blocks, step, (0, losses, by_left, tf.zeros_like(right)), parallel_iterations=1
    )
    return tf.reshape(losses.concat(), [pairs]), tf.reshape(by_left.concat(), tf.shape(left)), by_right
