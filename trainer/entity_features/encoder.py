"""Encodes features as sparse rows of numbers. Training and serving use the same function."""

from __future__ import annotations

import os
from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import scipy.sparse
import tensorflow as tf

from trainer.data.transform_graph import TransformGraph
from trainer.entity_features.settings import FeatureColumn, FeatureColumns

_BATCH = 1 << 15
# A number farther from the mean counts like this one, in standard deviations.
_FARTHEST = 5.0


def graph_folder(transform: str, side: str) -> str:
    """Returns the folder of the transform graph of the features of a side, inside a `TransformGraph` artifact."""
    return os.path.join(transform, "features", side)


class FeatureEncoder(tf.Module):
    """Encodes the features of entities of one side.

    An entity is a row of numbers, most of them 0. A category has one column for each value, with 1 where the entity has
    it. Of `m` tags or words, each has 1 / sqrt(m), so that an entity with many has no longer vector. A number has one
    column, or one for each bucket. The last column is 1 for all entities.

    Args:
      directory: the folder of the transform graph, see `graph_folder`.
      columns: what each feature holds.
    """

    def __init__(self, directory: str, columns: FeatureColumns) -> None:
        super().__init__(name="feature_encoder")
        graph = TransformGraph(directory)
        self._graph = graph.transform_features_layer()
        self._columns = dict(columns)
        sizes = [_size(graph, name, column) for name, column in columns.items()]
        self._first = dict(zip(columns, np.cumsum([0, *sizes[:-1]]).tolist(), strict=True))
        self.width = sum(sizes) + 1

    @property
    def columns(self) -> FeatureColumns:
        """What each feature holds."""
        return self._columns

    def __call__(self, inputs: Mapping[str, tf.SparseTensor], count: tf.Tensor) -> tuple[tf.Tensor, ...]:
        """Encodes entities.

        Args:
          inputs: each feature, `[n, ...]`, without a value where it is missing.
          count: int64, the number of entities.

        Returns:
          Row int64 `[m]`, column int64 `[m]` and value float `[m]` of each number that is not 0, and how many known
            values each entity has, float `[n]`.
        """
        encoded = self._graph(inputs)
        parts = [self._part(name, encoded[name], count) for name in self._columns]
        rows = tf.concat([part[0] for part in parts], axis=0)
        known = tf.math.unsorted_segment_sum(tf.ones_like(rows, tf.float32), rows, count)
        everyone = tf.range(count)
        constant = (everyone, tf.fill(tf.shape(everyone), tf.constant(self.width - 1, tf.int64)))
        parts.append((*constant, tf.ones_like(everyone, tf.float32)))
        return (*(tf.concat(of_parts, axis=0) for of_parts in zip(*parts, strict=True)), known)

    def _part(self, name: str, values: tf.SparseTensor, count: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        first = tf.constant(self._first[name], tf.int64)
        rows = values.indices[:, 0]
        if values.dtype == tf.float32:
            return rows, tf.fill(tf.shape(rows), first), tf.clip_by_value(values.values, -_FARTHEST, _FARTHEST)
        known = values.values >= 0
        rows, places = tf.boolean_mask(rows, known), tf.boolean_mask(values.values, known)
        sizes = tf.math.unsorted_segment_sum(tf.ones_like(rows, tf.float32), rows, count)
        return rows, first + places, tf.gather(tf.math.rsqrt(tf.maximum(sizes, 1.0)), rows)

    def matrix(self, table: pa.Table) -> scipy.sparse.csr_matrix:
        """Encodes a table of features.

        Args:
          table: see `trainer.entity_features.table`.

        Returns:
          Float32 `[entities, width]`.
        """
        parts = [scipy.sparse.csr_matrix((0, self.width), dtype=np.float32)]
        for start in range(0, table.num_rows, _BATCH):
            part = table.slice(start, _BATCH)
            inputs = {name: _sparse(part[name].combine_chunks()) for name in self._columns}
            rows, columns, values, _ = self(inputs, tf.constant(part.num_rows, tf.int64))
            shape = (part.num_rows, self.width)
            parts.append(scipy.sparse.csr_matrix((values.numpy(), (rows.numpy(), columns.numpy())), shape=shape))
        return scipy.sparse.vstack(parts, format="csr")


def _size(graph: TransformGraph, name: str, column: FeatureColumn) -> int:
    if column.kind == "number":
        return column.buckets or 1
    return graph.vocabulary_size_by_name(name)


def _sparse(column: pa.Array) -> tf.SparseTensor:
    """Returns a column of a table, `[n, most values]`."""
    if not pa.types.is_large_list(column.type):
        rows = np.flatnonzero(column.is_valid().to_numpy(zero_copy_only=False))
        places, widest, values = np.zeros(len(rows), np.int64), 1, column.drop_null()
    else:
        sizes = column.value_lengths().fill_null(0).to_numpy(zero_copy_only=False)
        rows = np.repeat(np.arange(len(column)), sizes)
        places = np.arange(len(rows)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        widest, values = int(sizes.max(initial=1)), column.flatten()
    indices = np.stack([rows, places], axis=1).astype(np.int64)
    kind = tf.float32 if pa.types.is_floating(column.type) else tf.string
    held = tf.constant(values.to_numpy(zero_copy_only=False).tolist(), kind, [len(values)])
    return tf.SparseTensor(indices, held, [len(column), widest])
