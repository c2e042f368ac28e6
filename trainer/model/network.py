"""The network: two embedding layers, flatten, dot product, optional biases."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from trainer.data.hashing import Numbering
from trainer.model.layers import Direction, HashedRowEmbedding, LongerBuckets, Offset, RowEmbedding
from trainer.model.table_sizes import TableSizes
from trainer.settings import ModelSettings

LEFT_VECTORS, RIGHT_VECTORS = "left_vectors", "right_vectors"
LEFT_BIAS, RIGHT_BIAS, GLOBAL_BIAS = "left_bias", "right_bias", "global_bias"

# The losses of these objectives depend on the value of a score. The others depend only on the order of scores.
_ABSOLUTE_OBJECTIVES = ("regression", "logistic")


def build_model(sizes: TableSizes, settings: ModelSettings, seed: int) -> keras.Model:
    """Builds the Keras model `(left [b, 1], right [b, 1]) -> score [b, 1]` of the numbers of ids.

    score = dot(left vector, right vector) + left bias + right bias + global bias. The biases are optional. With
    `normalize` or objective `cosine`, the dot product is the cosine.

    Args:
      sizes: the sizes of the embedding tables.
      settings: section `model` of the pipeline file.
      seed: of the initial vectors.

    Example:
        model = build_model(TableSizes(100, 200), ModelSettings(dimension=8), seed=1)
        model([tf.constant([[3]]), tf.constant([[7]])])  # float32 [1, 1]
    """
    left = keras.Input((1,), dtype="int32", name="left")
    right = keras.Input((1,), dtype="int32", name="right")
    of_left, of_right = sizes.numberings or (None, None)
    left_vectors = _vectors(LEFT_VECTORS, sizes.left, settings, seed, of_left)
    right_vectors = left_vectors if sizes.shared else _vectors(RIGHT_VECTORS, sizes.right, settings, seed + 1, of_right)
    rows = [keras.layers.Flatten()(left_vectors(left)), keras.layers.Flatten()(right_vectors(right))]
    if settings.has_unit_vectors:
        rows = [Direction()(side) for side in rows]
    score = keras.layers.Dot(axes=1, name="dot")(rows)
    biased = settings.has_biases
    if biased:
        tables = (
            (_rows(LEFT_BIAS, sizes.left, 1, "zeros", of_left), left),
            (_rows(RIGHT_BIAS, sizes.right, 1, "zeros", of_right), right),
        )
        score = keras.layers.Add(name="biases")([score, *(keras.layers.Flatten()(table(ids)) for table, ids in tables)])
    if settings.bias or settings.objective != "regression":
        # Otherwise, trainer/training/calibration.py computes the global bias after training.
        learned = biased and settings.objective in _ABSOLUTE_OBJECTIVES
        score = Offset(name=GLOBAL_BIAS, trainable=learned)(score)
    return keras.Model([left, right], score, name="pair_similarity")


def _vectors(name: str, rows: int, settings: ModelSettings, seed: int, numbering: Numbering | None) -> RowEmbedding:
    # Rows with this standard deviation have an expected length of `initial_scale` in every dimension.
    deviation = settings.initial_scale / settings.dimension**0.5
    initializer = keras.initializers.RandomNormal(stddev=deviation, seed=seed)
    if numbering:
        initializer = LongerBuckets(initializer, numbering)
    return _rows(name, rows, settings.dimension, initializer, numbering)


def _rows(name: str, rows: int, width: int, initializer: Any, numbering: Numbering | None) -> RowEmbedding:
    if numbering and len(numbering) > numbering.known:
        return HashedRowEmbedding(rows, width, numbering, embeddings_initializer=initializer, name=name)
    return RowEmbedding(rows, width, embeddings_initializer=initializer, name=name)


def ranking_tables(network: keras.Model, normalize: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Returns what a ranking by a network needs: left vectors, right vectors, and right biases or None.

    Args:
      network: of `build_model`, without numberings.
      normalize: setting `model.normalize`.
    """
    layers = {layer.name: layer for layer in network.layers}
    of_left = layers[LEFT_VECTORS]
    tables = [layer.embeddings.value.numpy() for layer in (of_left, layers.get(RIGHT_VECTORS, of_left))]
    if normalize:
        tables = [table / np.maximum(np.linalg.norm(table, axis=1, keepdims=True), 1e-12) for table in tables]
    bias = layers.get(RIGHT_BIAS)
    return tables[0], tables[1], None if bias is None else bias.embeddings.value.numpy()[:, 0]
