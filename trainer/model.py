"""The model: two embedding layers, flatten, dot product, optional biases."""

from __future__ import annotations

import dataclasses

import keras

from trainer.settings import ModelSettings

LEFT_VECTORS, RIGHT_VECTORS = "left_vectors", "right_vectors"
LEFT_BIAS, RIGHT_BIAS, GLOBAL_BIAS = "left_bias", "right_bias", "global_bias"


@dataclasses.dataclass(frozen=True)
class TableSizes:
    """Rows of each embedding table: vocabulary plus out-of-vocabulary buckets, as the transform graph counts them."""

    left: int
    right: int
    shared: bool = False


class RowPenalty(keras.layers.Layer):
    """Adds `strength` times the mean over the batch of the squared length of each row it passes on, unchanged.

    Only rows that the batch touches are penalised, as often as they occur: the weighting of matrix factorisation,
    (r - p.q)^2 + strength (|p|^2 + |q|^2) for each rating (Koren, Bell & Volinsky 2009, equation 2).
    """

    def __init__(self, strength: float, **kwargs: object) -> None:
        super().__init__(**kwargs)
        self.strength = strength

    def call(self, rows: keras.KerasTensor) -> keras.KerasTensor:
        """`rows` `[b, d]` -> the same `[b, d]`."""
        squares = keras.ops.sum(keras.ops.square(rows), axis=-1)
        self.add_loss(self.strength * keras.ops.mean(squares))
        return rows


class Offset(keras.layers.Layer):
    """Adds one trainable number to every score."""

    def build(self, input_shape: object) -> None:
        """Creates the number."""
        self.offset = self.add_weight(name="offset", shape=(), initializer="zeros")

    def call(self, scores: keras.KerasTensor) -> keras.KerasTensor:
        """`scores` `[b, 1]` -> `[b, 1]`."""
        return scores + self.offset


def build_model(sizes: TableSizes, settings: ModelSettings, seed: int) -> keras.Model:
    """The Keras model `(left [b, 1], right [b, 1]) -> score [b, 1]`.

    score = dot(left vector, right vector) + left bias + right bias + global bias (the biases where configured).
    """
    left = keras.Input((1,), dtype="int32", name="left")
    right = keras.Input((1,), dtype="int32", name="right")
    left_vectors = _vectors(LEFT_VECTORS, sizes.left, settings, seed)
    right_vectors = left_vectors if sizes.shared else _vectors(RIGHT_VECTORS, sizes.right, settings, seed + 1)
    score = keras.layers.Dot(axes=1, name="dot")(
        [_flat_rows(left_vectors, left, settings), _flat_rows(right_vectors, right, settings)]
    )
    if settings.bias:
        biases = [_flat_rows(_bias(LEFT_BIAS, sizes.left), left, settings)]
        biases.append(_flat_rows(_bias(RIGHT_BIAS, sizes.right), right, settings))
        score = Offset(name=GLOBAL_BIAS)(keras.layers.Add(name="biases")([score, *biases]))
    return keras.Model([left, right], score, name="pair_similarity")


def _vectors(name: str, rows: int, settings: ModelSettings, seed: int) -> keras.layers.Embedding:
    # Rows with this deviation have an expected length of `initial_scale`, whatever the dimension.
    deviation = settings.initial_scale / settings.dimension**0.5
    initializer = keras.initializers.RandomNormal(stddev=deviation, seed=seed)
    return keras.layers.Embedding(rows, settings.dimension, embeddings_initializer=initializer, name=name)


def _bias(name: str, rows: int) -> keras.layers.Embedding:
    return keras.layers.Embedding(rows, 1, embeddings_initializer="zeros", name=name)


def _flat_rows(table: keras.layers.Embedding, ids: keras.KerasTensor, settings: ModelSettings) -> keras.KerasTensor:
    """Rows of `table` `[b, width]` for `ids` `[b, 1]`, penalised where a penalty is configured."""
    rows = keras.layers.Flatten()(table(ids))
    return RowPenalty(settings.regularization)(rows) if settings.regularization else rows
