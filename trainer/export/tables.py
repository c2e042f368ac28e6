"""Reads the tables of a published model from its files. Does not load a graph."""

from __future__ import annotations

import dataclasses
import os

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import tensorflow as tf

from trainer.data import hashing


@dataclasses.dataclass(frozen=True)
class Side:
    """One side of a published model. Vector and bias i belong to id i. Later rows are for unknown ids.

    Attributes:
      ids: the vocabulary.
      vectors: rows of the embedding table.
      bias: of each row.
      hashes: the number of rows of each unknown id.
      normalized: whether the mean of these rows is divided by its length.
    """

    ids: pa.Array  # binary [n]
    vectors: np.ndarray  # float32 [rows, d]
    bias: np.ndarray  # float32 [rows]
    hashes: int = 1
    normalized: bool = False

    @property
    def known(self) -> int:
        """The number of known ids."""
        return len(self.ids)

    def rows_of(self, ids: pa.Array) -> np.ndarray:
        """Returns the row of each of `ids` `[m]`, int64, or -1 if it is unknown."""
        found = pc.index_in(ids, value_set=self.ids).fill_null(-1)
        return np.asarray(found.to_numpy(zero_copy_only=False).astype(np.int64))

    def vectors_of(self, ids: pa.Array) -> np.ndarray:
        """Returns the vectors of `ids` `[m]`, known or not, as the signatures of the model do, float32 `[m, d]`."""
        rows = self.rows_of(ids)
        vectors = self.vectors[rows]
        unknown = np.flatnonzero(rows < 0)
        if len(unknown):
            vectors[unknown] = self._means(self._hashed(ids.take(pa.array(unknown))))
        return vectors

    def biases_of(self, ids: pa.Array) -> np.ndarray:
        """Returns the biases of `ids` `[m]`, known or not, as the signatures of the model do, float32 `[m]`."""
        rows = self.rows_of(ids)
        biases = self.bias[rows]
        unknown = np.flatnonzero(rows < 0)
        if len(unknown):
            biases[unknown] = self.bias[self._hashed(ids.take(pa.array(unknown)))].mean(axis=1)
        return biases

    def _hashed(self, ids: pa.Array) -> np.ndarray:
        """Returns the rows of unknown ids `[m]`, int64 `[m, hashes]`."""
        names = tf.constant(ids.to_numpy(zero_copy_only=False), tf.string)
        hashed = hashing.hash_buckets(names, len(self.vectors) - self.known, self.hashes)
        return np.asarray(self.known + hashed.numpy())

    def _means(self, rows: np.ndarray) -> np.ndarray:
        """Returns means of rows `[m, hashes]`, float32 `[m, d]`."""
        means = self.vectors[rows].mean(axis=1)
        if self.hashes > 1 and self.normalized:
            means /= np.maximum(np.linalg.norm(means, axis=1, keepdims=True), 1e-6)
        return means


@dataclasses.dataclass(frozen=True)
class Tables:
    """Both sides of a published model. score = dot(left vector, right vector) + left bias + right bias + offset."""

    left: Side
    right: Side
    offset: float


def read_tables(directory: str) -> Tables:
    """Reads the tables of a SavedModel of `trainer.export.saved_model`.

    Args:
      directory: of the SavedModel.
    """
    variables = tf.train.load_checkpoint(os.path.join(directory, "variables", "variables"))

    def key(name: str) -> str:
        return f"{name}/.ATTRIBUTES/VARIABLE_VALUE"

    def value(name: str) -> np.ndarray:
        return np.asarray(variables.get_tensor(key(name)))

    # Older models have neither.
    hashes = int(value("hashes")) if variables.has_tensor(key("hashes")) else 1
    normalized = bool(value("normalized")) if variables.has_tensor(key("normalized")) else False

    def side(name: str) -> Side:
        # A shared table is stored once, as that of the left side.
        table = name if variables.has_tensor(key(f"{name}/vectors")) else "left"
        ids = pa.array(value(f"{table}/ids").tolist(), pa.binary())
        return Side(ids, value(f"{table}/vectors"), value(f"{name}/bias"), hashes, normalized)

    return Tables(side("left"), side("right"), float(value("offset")))
