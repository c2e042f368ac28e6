"""Scores of a batch, computed from the rows that it uses."""

from __future__ import annotations

import keras
import tensorflow as tf

from trainer.model.network import GLOBAL_BIAS, LEFT_BIAS, LEFT_VECTORS, RIGHT_BIAS, RIGHT_VECTORS
from trainer.settings import ModelSettings

Batch = dict[str, tf.Tensor]


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
        self._normalize = settings.has_unit_vectors
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

    def factors(self, batch: Batch) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns the factors of the scores of each left entity with all right entities of the batch.

        Returns:
          `[b, d + 2]`, and `[b + m, d + 2]` of the right entities of the pairs and then of the `m` shared negatives.
          The product of the first with the transpose of the second is `[b, b + m]`, the scores.
        """
        left, left_bias = self.rows("left", batch["left"])
        right, right_bias = self.rows("right", tf.concat([batch["right"], batch["negatives"]], axis=0))
        of_left = (left_bias + self._constant())[:, None]
        return (
            tf.concat([left, of_left, tf.ones_like(of_left)], axis=1),
            tf.concat([right, tf.ones_like(right_bias)[:, None], right_bias[:, None]], axis=1),
        )

    def _constant(self) -> tf.Tensor:
        return 0.0 if self._offset is None else tf.convert_to_tensor(self._offset.offset.value)

    def penalty(self) -> tf.Tensor:
        """Returns the sum of the squared lengths of all used rows, once for each use, `[]`.

        The penalty of a row therefore grows with its number of pairs: (r - p.q)^2 + strength (|p|^2 + |q|^2) for each
        rating (Koren, Bell & Volinsky 2009, equation 2).
        """
        return tf.add_n([tf.reduce_sum(tf.square(rows)) for rows in self.touched])
