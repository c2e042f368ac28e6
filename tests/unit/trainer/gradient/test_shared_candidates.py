"""Losses in blocks compared with plain NumPy in float64, for every split of a batch into blocks."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from trainer.gradient import shared_candidates

pytestmark = pytest.mark.tensorflow

WIDTH = 3
MARGIN, NEGATIVE_WEIGHT = 0.1, 5.0


@dataclasses.dataclass(frozen=True)
class Drawn:
    """A batch: vectors, the numbers of right entities and negatives, the weight of each pair, and a size of blocks."""

    left: np.ndarray
    right: np.ndarray
    own: np.ndarray
    negatives: np.ndarray
    weight: np.ndarray
    block: int


@st.composite
def batches(draw: st.DrawFn) -> Drawn:
    pairs, negatives, entities = draw(st.integers(1, 12)), draw(st.integers(1, 9)), draw(st.integers(2, 8))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    return Drawn(
        left=random.normal(size=(pairs, WIDTH)) * draw(st.sampled_from([0.1, 1.0, 20.0])),
        right=random.normal(size=(entities, WIDTH)),
        own=random.integers(0, entities, pairs).astype(np.int32),
        negatives=random.integers(0, entities, negatives).astype(np.int32),
        weight=random.choice([0.0, 0.5, 1.0, 3.0], pairs),
        block=draw(st.integers(1, 300)),
    )


def _softmax(batch: Drawn, log_counts: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns the losses, and the gradients of their weighted sum by left and by right rows."""
    losses, by_left, by_right = np.zeros(len(batch.own)), np.zeros_like(batch.left), np.zeros_like(batch.right)
    for i, own in enumerate(batch.own):
        rivals = [j for j in (*batch.own, *batch.negatives) if j != own]
        among = [own, *rivals]
        logits = np.array([batch.left[i] @ batch.right[j] - log_counts[j] for j in among])
        shares = np.exp(logits - logits.max())
        shares /= shares.sum()
        losses[i] = np.log(np.exp(logits - logits[0]).sum())
        shares[0] -= 1
        for j, slope in zip(among, shares, strict=True):
            by_left[i] += batch.weight[i] * slope * batch.right[j]
            by_right[j] += batch.weight[i] * slope * batch.left[i]
    return losses, by_left, by_right


def _cosine(batch: Drawn) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    losses, by_left, by_right = np.zeros(len(batch.own)), np.zeros_like(batch.left), np.zeros_like(batch.right)
    share = NEGATIVE_WEIGHT / len(batch.negatives)
    for i, own in enumerate(batch.own):
        terms = [(own, -1.0), *((j, share) for j in batch.negatives if j != own)]
        losses[i] = 1
        for j, slope in terms:
            excess = batch.left[i] @ batch.right[j] - (0 if slope < 0 else MARGIN)
            if slope < 0 or excess > 0:
                losses[i] += slope * excess
                by_left[i] += batch.weight[i] * slope * batch.right[j]
                by_right[j] += batch.weight[i] * slope * batch.left[i]
    return losses, by_left, by_right


def _assert_equal(batch: Drawn, expected: tuple[np.ndarray, np.ndarray, np.ndarray], loss) -> None:
    left, right = tf.constant(batch.left), tf.constant(batch.right)
    with tf.GradientTape() as tape:
        tape.watch([left, right])
        total, losses = loss(left, right, tf.constant(batch.weight))
        twice = 2 * total
    np.testing.assert_allclose(losses, expected[0], rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(total, batch.weight @ expected[0], rtol=1e-9, atol=1e-9)
    for found, gradient in zip(tape.gradient(twice, [left, right]), expected[1:], strict=True):
        np.testing.assert_allclose(tf.convert_to_tensor(found), 2 * gradient, rtol=1e-8, atol=1e-8)


@settings(max_examples=60, deadline=None)
@given(batches())
def test_softmax_in_blocks_matches_float64_oracle(batch: Drawn) -> None:
    log_counts = np.log(np.arange(1, len(batch.right) + 1))
    candidates = np.concatenate([batch.own, batch.negatives])

    def loss(left: tf.Tensor, right: tf.Tensor, weight: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        rows, logs = tf.gather(right, candidates), tf.constant(log_counts[candidates])
        return shared_candidates.softmax_loss(left, rows, tf.constant(candidates), logs, weight)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shared_candidates, "BLOCK", batch.block)
        _assert_equal(batch, _softmax(batch, log_counts), loss)


@settings(max_examples=60, deadline=None)
@given(batches())
def test_cosine_in_blocks_matches_float64_oracle(batch: Drawn) -> None:
    def loss(left: tf.Tensor, right: tf.Tensor, weight: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        def is_own(pairs: tf.Tensor) -> tf.Tensor:
            return tf.gather(batch.own, pairs)[:, None] == batch.negatives[None, :]

        of_own, of_negatives = tf.gather(right, batch.own), tf.gather(right, batch.negatives)
        return shared_candidates.cosine_loss(left, of_own, of_negatives, is_own, MARGIN, NEGATIVE_WEIGHT, weight)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shared_candidates, "BLOCK", batch.block)
        _assert_equal(batch, _cosine(batch), loss)


def test_no_array_is_as_large_as_all_scores() -> None:
    """Memory does not grow with the square of the batch: no block has more than BLOCK scores."""
    seen = []

    def of_block(scores: tf.Tensor, pairs: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        seen.append(tuple(scores.shape))
        return tf.reduce_sum(scores, axis=1), tf.ones_like(scores)

    left, right = tf.ones((1 << 13, 2)), tf.ones((1 << 12, 2))
    total, losses = shared_candidates.in_blocks(of_block, left, right, tf.ones(1 << 13))
    assert max(rows * columns for rows, columns in seen) == shared_candidates.BLOCK
    assert sum(rows for rows, _ in seen) == len(losses) == 1 << 13
    assert float(total) == 2 * (1 << 25)
