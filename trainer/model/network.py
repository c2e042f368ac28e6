"""The model: two embedding layers, flatten, dot product, optional biases."""

from __future__ import annotations

import dataclasses
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from trainer.data.hashing import Numbering
from trainer.settings import ModelSettings

LEFT_VECTORS, RIGHT_VECTORS = "left_vectors", "right_vectors"
LEFT_BIAS, RIGHT_BIAS, GLOBAL_BIAS = "left_bias", "right_bias", "global_bias"

# Their losses say which scores are small or large; the others only which of two is the larger.
_ABSOLUTE_OBJECTIVES = ("regression", "logistic")


@dataclasses.dataclass(frozen=True)
class TableSizes:
    """Rows of each embedding table: vocabulary plus out-of-vocabulary buckets, as the transform graph counts them.

    With several hashes, `numberings` of the left and the right ids (the same one where the sides share a table);
    without, an id's number is its row.
    """

    left: int
    right: int
    shared: bool = False
    numberings: tuple[Numbering, Numbering] | None = None

    @property
    def entities(self) -> tuple[int, int]:
        """How many numbers left and right ids have."""
        return (len(self.numberings[0]), len(self.numberings[1])) if self.numberings else (self.left, self.right)

    @property
    def hashes(self) -> int:
        """How many rows the vector of an unknown id is the mean of."""
        return self.numberings[0].hashes if self.numberings else 1

    def touched(self, left: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Which rows of each table the ids `left`, `right` (bool, by number) read; bool `[rows]`."""
        if not self.numberings:
            return left, right
        of_left, of_right = self.numberings
        return of_left.touched(left, self.left), of_right.touched(right, self.right)


class Rows(keras.layers.Embedding):
    """An embedding layer that reads the rows it is asked for, and no others.

    Keras's own look-up reads the whole table first, which TensorFlow copies once a table is updated by row: a step
    would cost what the vocabulary holds.
    """

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Row numbers int `[...]` -> rows `[..., width]`."""
        return tf.gather(self.embeddings.value, inputs)


class HashedRows(Rows):
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


class _LongerBuckets(keras.initializers.Initializer):
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


def build_model(sizes: TableSizes, settings: ModelSettings, seed: int) -> keras.Model:
    """The Keras model `(left [b, 1], right [b, 1]) -> score [b, 1]` of the numbers of ids.

    score = dot(left vector, right vector) + left bias + right bias + global bias (the biases where configured; with
    `normalize` the dot product is the cosine).
    """
    left = keras.Input((1,), dtype="int32", name="left")
    right = keras.Input((1,), dtype="int32", name="right")
    of_left, of_right = sizes.numberings or (None, None)
    left_vectors = _vectors(LEFT_VECTORS, sizes.left, settings, seed, of_left)
    right_vectors = left_vectors if sizes.shared else _vectors(RIGHT_VECTORS, sizes.right, settings, seed + 1, of_right)
    rows = [keras.layers.Flatten()(left_vectors(left)), keras.layers.Flatten()(right_vectors(right))]
    if settings.normalize:
        rows = [Direction()(side) for side in rows]
    score = keras.layers.Dot(axes=1, name="dot")(rows)
    # Least squares over all pairs, seen or not, has no biases: they would have to hold for the unseen ones too.
    biased = settings.bias and settings.objective != "ials"
    if biased:
        tables = (
            (_rows(LEFT_BIAS, sizes.left, 1, "zeros", of_left), left),
            (_rows(RIGHT_BIAS, sizes.right, 1, "zeros", of_right), right),
        )
        score = keras.layers.Add(name="biases")([score, *(keras.layers.Flatten()(table(ids)) for table, ids in tables)])
    if settings.bias or settings.objective != "regression":
        # Where it is not learned it is found afterwards (trainer/training/calibration.py).
        learned = biased and settings.objective in _ABSOLUTE_OBJECTIVES
        score = Offset(name=GLOBAL_BIAS, trainable=learned)(score)
    return keras.Model([left, right], score, name="pair_similarity")


def _vectors(name: str, rows: int, settings: ModelSettings, seed: int, numbering: Numbering | None) -> Rows:
    # Rows with this deviation have an expected length of `initial_scale`, whatever the dimension.
    deviation = settings.initial_scale / settings.dimension**0.5
    initializer = keras.initializers.RandomNormal(stddev=deviation, seed=seed)
    if numbering:
        initializer = _LongerBuckets(initializer, numbering)
    return _rows(name, rows, settings.dimension, initializer, numbering)


def _rows(name: str, rows: int, width: int, initializer: Any, numbering: Numbering | None) -> Rows:
    if numbering and len(numbering) > numbering.known:
        return HashedRows(rows, width, numbering, embeddings_initializer=initializer, name=name)
    return Rows(rows, width, embeddings_initializer=initializer, name=name)
