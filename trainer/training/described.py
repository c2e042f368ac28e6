"""Gives vectors to entities that only have features: fits the map from features to the rows of a trained network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import tensorflow as tf
from absl import logging

from trainer import features
from trainer.data.examples import TRAIN, Examples
from trainer.data.transform_graph import TransformGraph
from trainer.entity_features import ridge
from trainer.entity_features.described import Described
from trainer.entity_features.encoder import FeatureEncoder, graph_folder
from trainer.entity_features.settings import columns_of
from trainer.entity_features.table import ID, read_table
from trainer.model.layers import Direction
from trainer.model.network import LEFT_BIAS, LEFT_VECTORS, RIGHT_BIAS, RIGHT_VECTORS

FEATURES_FILE = "features.json"
_LAYERS = {features.LEFT: (LEFT_VECTORS, LEFT_BIAS), features.RIGHT: (RIGHT_VECTORS, RIGHT_BIAS)}


def describe(
    network: keras.Model,
    transform: TransformGraph,
    directory: str,
    examples: Examples,
    sides: Mapping[str, Any],
    seed: int,
) -> dict[str, Described]:
    """Fits the map of each side, and sets the rows of entities that training has not seen to what it returns.

    Args:
      network: the trained network. Rows of entities without a pair are replaced.
      transform: the transform graph.
      directory: its folder.
      examples: the examples.
      sides: the columns of features of each side as JSON, by side.
      seed: of the choice of held-out entities.
    """
    return {
        side: _describe(network, transform, directory, examples, side, columns_of(columns), seed)
        for side, columns in sides.items()
    }


def _describe(
    network: keras.Model,
    transform: TransformGraph,
    directory: str,
    examples: Examples,
    side: str,
    columns: Any,
    seed: int,
) -> Described:
    encoder = FeatureEncoder(graph_folder(directory, side), columns)
    table = read_table(examples.uri, side)
    assert table is not None, f"no features of side {side} in {examples.uri}"
    left, right = features.vocabulary_names(False)
    vocabulary = pa.array(transform.vocabulary_by_name(left if side == features.LEFT else right), pa.large_binary())
    rows = pc.index_in(table[ID].combine_chunks(), value_set=vocabulary)
    known = np.flatnonzero(rows.is_valid().to_numpy(zero_copy_only=False))
    table, rows = table.take(pa.array(known)), rows.drop_null().to_numpy()
    matrix, pairs = encoder.matrix(table), _pairs(examples, side, table[ID].combine_chunks())
    targets = _rows(network, side)
    trained = np.flatnonzero(pairs)
    found = ridge.fit(matrix[trained], targets[rows[trained]], pairs[trained], seed)
    logging.info("features of side %s: penalty %g, explain %.3f", side, found.penalty, found.explained)
    unseen = np.flatnonzero(pairs == 0)
    _put(network, side, rows[unseen], matrix[unseen] @ found.weights)
    return Described(encoder, found)


def _pairs(examples: Examples, side: str, ids: pa.Array) -> np.ndarray:
    """Returns the number of pairs of each id in the train split, int64 `[n]`."""
    entities = examples.entities(side)
    place = pc.index_in(ids, value_set=entities.ids)
    counts = entities.counts[TRAIN]
    found = place.fill_null(0).to_numpy()
    return np.where(place.is_valid().to_numpy(zero_copy_only=False), counts[found] if len(counts) else 0, 0)


def _rows(network: keras.Model, side: str) -> np.ndarray:
    """Returns vectors and biases of a side, float32 `[rows, d + 1]`. Vectors have length 1 if scores are cosines."""
    layers = {layer.name: layer for layer in network.layers}
    of_vectors, of_biases = _LAYERS[side]
    vectors = layers[of_vectors].embeddings.value.numpy()
    if any(isinstance(layer, Direction) for layer in network.layers):
        vectors = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    bias = layers[of_biases].embeddings.value.numpy() if of_biases in layers else np.zeros((len(vectors), 1))
    return np.concatenate([vectors, bias], axis=1).astype(np.float32)


def _put(network: keras.Model, side: str, rows: np.ndarray, values: np.ndarray) -> None:
    """Replaces rows of vectors and biases of a side by `values` `[n, d + 1]`."""
    layers = {layer.name: layer for layer in network.layers}
    of_vectors, of_biases = _LAYERS[side]
    for name, part in ((of_vectors, values[:, :-1]), (of_biases, values[:, -1:])):
        if name in layers:
            table = layers[name].embeddings.value
            table.scatter_update(tf.IndexedSlices(tf.constant(part, tf.float32), tf.constant(rows)))


def record(described: Mapping[str, Described]) -> dict[str, Any]:
    """Returns what people may want to know about the maps, as JSON."""
    return {
        side: {"penalty": found.map.penalty, "explained": found.map.explained, "width": found.encoder.width}
        for side, found in described.items()
    }
