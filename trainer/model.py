"""The model: two embedding layers, flatten, dot product, optional biases."""

from __future__ import annotations

import dataclasses

import keras
import tensorflow as tf

from trainer.settings import ModelSettings

LEFT_VECTORS, RIGHT_VECTORS = "left_vectors", "right_vectors"
LEFT_BIAS, RIGHT_BIAS, GLOBAL_BIAS = "left_bias", "right_bias", "global_bias"

# Their losses say which scores are small or large; the others only which of two is the larger.
_ABSOLUTE_OBJECTIVES = ("regression", "logistic")


@dataclasses.dataclass(frozen=True)
class TableSizes:
    """Rows of each embedding table: vocabulary plus out-of-vocabulary buckets, as the transform graph counts them."""

    left: int
    right: int
    shared: bool = False


class Rows(keras.layers.Embedding):
    """An embedding layer that reads the rows it is asked for, and no others.

    Keras's own look-up reads the whole table first, which TensorFlow copies once a table is updated by row: a step
    would cost what the vocabulary holds.
    """

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Row numbers int `[...]` -> rows `[..., width]`."""
        return tf.gather(self.embeddings.value, inputs)


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
    """The Keras model `(left [b, 1], right [b, 1]) -> score [b, 1]`.

    score = dot(left vector, right vector) + left bias + right bias + global bias (the biases where configured; with
    `normalize` the dot product is the cosine).
    """
    left = keras.Input((1,), dtype="int32", name="left")
    right = keras.Input((1,), dtype="int32", name="right")
    left_vectors = _vectors(LEFT_VECTORS, sizes.left, settings, seed)
    right_vectors = left_vectors if sizes.shared else _vectors(RIGHT_VECTORS, sizes.right, settings, seed + 1)
    rows = [keras.layers.Flatten()(left_vectors(left)), keras.layers.Flatten()(right_vectors(right))]
    if settings.normalize:
        rows = [Direction()(side) for side in rows]
    score = keras.layers.Dot(axes=1, name="dot")(rows)
    # Least squares over all pairs, seen or not, has no biases: they would have to hold for the unseen ones too.
    biased = settings.bias and settings.objective != "ials"
    if biased:
        tables = ((_bias(LEFT_BIAS, sizes.left), left), (_bias(RIGHT_BIAS, sizes.right), right))
        score = keras.layers.Add(name="biases")([score, *(keras.layers.Flatten()(table(ids)) for table, ids in tables)])
    if settings.bias or settings.objective != "regression":
        # Where it is not learned it is found afterwards (trainer/calibration.py).
        learned = biased and settings.objective in _ABSOLUTE_OBJECTIVES
        score = Offset(name=GLOBAL_BIAS, trainable=learned)(score)
    return keras.Model([left, right], score, name="pair_similarity")


def _vectors(name: str, rows: int, settings: ModelSettings, seed: int) -> Rows:
    # Rows with this deviation have an expected length of `initial_scale`, whatever the dimension.
    deviation = settings.initial_scale / settings.dimension**0.5
    initializer = keras.initializers.RandomNormal(stddev=deviation, seed=seed)
    return Rows(rows, settings.dimension, embeddings_initializer=initializer, name=name)


def _bias(name: str, rows: int) -> Rows:
    return Rows(rows, 1, embeddings_initializer="zeros", name=name)
