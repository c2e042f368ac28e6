"""Layers of the model: embeddings that read only the requested rows, normalization, and an offset."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from trainer.data.hashing import Numbering


class RowEmbedding(keras.layers.Embedding):
    """An embedding layer that reads only the requested rows.

    The look-up of Keras reads the whole table, and TensorFlow copies it after each update by row. The cost of a step
    would grow with the vocabulary.
    """

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Returns rows `[..., width]` of row numbers int `[...]`."""
        return tf.gather(self.embeddings.value, inputs)


class HashedRowEmbedding(RowEmbedding):
    """Rows of known ids and means of rows of unknown ids. See `trainer.data.hashing`.

    Args:
      rows: the number of rows of the table.
      width: the length of each row.
      numbering: maps numbers of ids to rows.
      options: of the Keras layer.
    """

    def __init__(self, rows: int, width: int, numbering: Numbering, **options: Any) -> None:
        super().__init__(rows, width, **options)
        self._known, self._hashes = numbering.known, numbering.hashes
        self._of_unknown = tf.constant(numbering.rows)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Returns vectors `[..., width]` of the numbers int `[...]` of ids."""
        inputs = tf.cast(inputs, tf.int32)
        table, known = self.embeddings.value, inputs < self._known
        hashed = tf.gather(self._of_unknown, tf.maximum(inputs - self._known, 0))
        first = tf.gather(table, tf.where(known, inputs, hashed[..., 0]))
        # A known id reads one row as without hashes, and its row is not rounded.
        places = tf.where(~known)
        others = tf.gather(table, tf.gather_nd(hashed, places)[:, 1:])
        total = tf.tensor_scatter_nd_add(first, places, tf.reduce_sum(others, axis=1))
        return total * tf.where(known, 1.0, 1 / self._hashes)[..., None]


class LongerBuckets(keras.initializers.Initializer):
    """Initializes rows with `initializer`, and scales bucket rows by the square root of `hashes`."""

    def __init__(self, initializer: keras.initializers.Initializer, numbering: Numbering) -> None:
        self._initializer, self._known, self._hashes = initializer, numbering.known, numbering.hashes

    def __call__(self, shape: Any, dtype: Any = None) -> tf.Tensor:
        """Returns a table of `shape` `[rows, width]`."""
        factor = np.where(np.arange(shape[0]) < self._known, 1.0, self._hashes**0.5).astype(np.float32)
        return self._initializer(shape, dtype) * factor[:, None]


class Direction(keras.layers.Layer):
    """Divides each row by its length, so that a dot product is a cosine. A zero row stays zero."""

    def call(self, rows: tf.Tensor) -> tf.Tensor:
        """Returns unit vectors `[..., d]` of `rows` `[..., d]`."""
        return tf.math.l2_normalize(rows, axis=-1)


class Offset(keras.layers.Layer):
    """Adds one number to every score."""

    def build(self, input_shape: object) -> None:
        """Creates the number."""
        self.offset = self.add_weight(name="offset", shape=(), initializer="zeros")

    def call(self, scores: tf.Tensor) -> tf.Tensor:
        """Returns `scores` `[b, 1]` plus the offset, `[b, 1]`."""
        return scores + self.offset
