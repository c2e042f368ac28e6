"""The layers of the model: embeddings that read only the rows they are asked for, unit vectors, and an offset."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from trainer.data.hashing import Numbering


class RowEmbedding(keras.layers.Embedding):
    """An embedding layer that reads the rows it is asked for, and no others.

    Keras's own look-up reads the whole table first, which TensorFlow copies once a table is updated by row: a step
    would cost what the vocabulary holds.
    """

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Row numbers int `[...]` -> rows `[..., width]`."""
        return tf.gather(self.embeddings.value, inputs)


class HashedRowEmbedding(RowEmbedding):
    """Rows of known ids, and means of rows for unknown ones, by their numbers (`trainer.data.hashing`)."""

    def __init__(self, rows: int, width: int, numbering: Numbering, **options: Any) -> None:
        super().__init__(rows, width, **options)
        self._known, self._hashes = numbering.known, numbering.hashes
        self._of_unknown = tf.constant(numbering.rows)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Numbers int `[...]` -> vectors `[..., width]`."""
        inputs = tf.cast(inputs, tf.int32)
        table, known = self.embeddings.value, inputs < self._known
        hashed = tf.gather(self._of_unknown, tf.maximum(inputs - self._known, 0))
        first = tf.gather(table, tf.where(known, inputs, hashed[..., 0]))
        # A known id costs what it does without hashes, and its row is not rounded.
        places = tf.where(~known)
        others = tf.gather(table, tf.gather_nd(hashed, places)[:, 1:])
        total = tf.tensor_scatter_nd_add(first, places, tf.reduce_sum(others, axis=1))
        return total * tf.where(known, 1.0, 1 / self._hashes)[..., None]


class LongerBuckets(keras.initializers.Initializer):
    """Draws rows as `initializer` does, and those from `known` on longer by the root of `hashes`."""

    def __init__(self, initializer: keras.initializers.Initializer, numbering: Numbering) -> None:
        self._initializer, self._known, self._hashes = initializer, numbering.known, numbering.hashes

    def __call__(self, shape: Any, dtype: Any = None) -> tf.Tensor:
        """A table of `shape` `[rows, width]`."""
        factor = np.where(np.arange(shape[0]) < self._known, 1.0, self._hashes**0.5).astype(np.float32)
        return self._initializer(shape, dtype) * factor[:, None]


class Direction(keras.layers.Layer):
    """Divides each row by its length, so that a dot product is a cosine; a zero row stays zero."""

    def call(self, rows: tf.Tensor) -> tf.Tensor:
        """`rows` `[..., d]` -> `[..., d]`."""
        return tf.math.l2_normalize(rows, axis=-1)


class Offset(keras.layers.Layer):
    """Adds one number to every score."""

    def build(self, input_shape: object) -> None:
        """Creates the number."""
        self.offset = self.add_weight(name="offset", shape=(), initializer="zeros")

    def call(self, scores: tf.Tensor) -> tf.Tensor:
        """`scores` `[b, 1]` -> `[b, 1]`."""
        return scores + self.offset
