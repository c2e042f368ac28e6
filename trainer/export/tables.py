"""Reads the tables of a published model from its files. Does not load a graph."""

from __future__ import annotations

import dataclasses
import os

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import scipy.special
import tensorflow as tf

from compat.tensorflow_paths import literal
from errors import InputError
from kindred import advice, progress
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

    ids: pa.Array  # large_binary [n]
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
        ids = ids.cast(self.ids.type)
        # Arrow hashes the value set first. A table of few ids is made faster than one of a whole vocabulary.
        hits = pc.indices_nonzero(pc.is_in(self.ids, value_set=ids)) if 8 * len(ids) < self.known else None
        vocabulary = self.ids if hits is None else self.ids.take(hits)
        found = pc.index_in(ids, value_set=vocabulary).fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
        return found if hits is None else np.append(hits.to_numpy(), -1).astype(np.int64)[found]

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

    def gathered(self, ids: pa.Array) -> Gathered:
        """Finds the vector and the bias of each of `ids` `[m]`, known or not. Copies a table only for means of rows."""
        rows = self.rows_of(ids)
        known = rows >= 0
        unknown = np.flatnonzero(~known)
        vectors, bias = self.vectors, self.bias
        if len(unknown):
            hashed = self._hashed(ids.take(pa.array(unknown)))
            if self.hashes == 1:
                rows[unknown] = hashed[:, 0]
            else:
                rows[unknown] = len(vectors) + np.arange(len(unknown))
                vectors = np.concatenate([vectors, self._means(hashed)])
                bias = np.concatenate([bias, bias[hashed].mean(axis=1)])
        return Gathered(rows, vectors, bias, known)

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


_BLOCK = 1 << 16


@dataclasses.dataclass(frozen=True)
class Tables:
    """Both sides of a published model.

    score = dot(left vector, right vector) + left bias + right bias + offset, and value = score * scale + center,
    clipped to `limits`, the lowest and the highest raw score of training. With `log_odds`, these are the only two, a
    score times `log_odds` is the log odds of the highest, and the value is the expected raw score. `shared` is whether
    both sides have one vocabulary and one table of vectors.
    """

    left: Side
    right: Side
    offset: float
    center: float = 0.0
    scale: float = 1.0
    shared: bool = False
    limits: tuple[float, float] = (-np.inf, np.inf)
    log_odds: float = 0.0

    def values(self, scores: np.ndarray) -> np.ndarray:
        """Returns the value of each of `scores` `[n]`, float32."""
        lowest, highest = map(np.float32, self.limits)
        if self.log_odds:
            return np.asarray(lowest + (highest - lowest) * scipy.special.expit(np.float32(self.log_odds) * scores))
        values = scores * np.float32(self.scale) + np.float32(self.center)
        return np.asarray(np.clip(values, lowest, highest))

    def scores(
        self, left_ids: pa.Array, right_ids: pa.Array, left: np.ndarray, right: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Scores pairs as the model's signature `score` does.

        Args:
          left_ids: distinct ids, known or not.
          right_ids: distinct ids, known or not.
          left: the place in `left_ids` of the left id of each pair, int `[n]`.
          right: the place in `right_ids` of the right id of each pair, int `[n]`.

        Returns:
          The scores, float32 `[n]`, and whether both ids are known, bool `[n]`.
        """
        of_left, of_right = self.left.gathered(left_ids), self.right.gathered(right_ids)
        score = np.empty(len(left), np.float32)
        for start in range(0, len(left), _BLOCK):
            part = slice(start, start + _BLOCK)
            a, b = of_left.rows[left[part]], of_right.rows[right[part]]
            dot = np.einsum("nd,nd->n", of_left.vectors[a], of_right.vectors[b])
            score[part] = dot + of_left.bias[a] + of_right.bias[b] + np.float32(self.offset)
            progress.advance("rows", len(a))
        return score, of_left.known[left] & of_right.known[right]


@dataclasses.dataclass(frozen=True)
class Gathered:
    """What a side has for given ids: row `rows[i]` of `vectors` and `bias` is that of id i."""

    rows: np.ndarray  # int64 [m]
    vectors: np.ndarray  # float32 [rows, d]
    bias: np.ndarray  # float32 [rows]
    known: np.ndarray  # bool [m]


def read_tables(directory: str) -> Tables:
    """Reads the tables of a SavedModel of `trainer.export.saved_model`.

    Args:
      directory: of the SavedModel.

    Raises:
      InputError: an older version wrote the model, without center and scale.
    """
    variables = tf.train.load_checkpoint(os.path.join(literal(directory), "variables", "variables"))

    def key(name: str) -> str:
        return f"{name}/.ATTRIBUTES/VARIABLE_VALUE"

    def value(name: str) -> np.ndarray:
        return np.asarray(variables.get_tensor(key(name)))

    if not variables.has_tensor(key("center")):
        raise InputError(
            f"{directory}: an older version wrote this model, without the center of its scores. Runs cannot compare "
            f"with it. {advice.set_root('another root')}"
        )
    # Older models do not have these, nor limits of values.
    hashes = int(value("hashes")) if variables.has_tensor(key("hashes")) else 1
    normalized = bool(value("normalized")) if variables.has_tensor(key("normalized")) else False

    def side(name: str) -> Side:
        # A shared table is stored once, as that of the left side.
        table = name if variables.has_tensor(key(f"{name}/vectors")) else "left"
        ids = pa.array(value(f"{table}/ids").tolist(), pa.large_binary())
        return Side(ids, value(f"{table}/vectors"), value(f"{name}/bias"), hashes, normalized)

    shared = not variables.has_tensor(key("right/vectors"))
    offset, center, scale = (float(value(name)) for name in ("offset", "center", "scale"))
    limits = -np.inf, np.inf
    if variables.has_tensor(key("lowest")):
        limits = float(value("lowest")), float(value("highest"))
    log_odds = float(value("log_odds")) if variables.has_tensor(key("log_odds")) else 0.0
    return Tables(side("left"), side("right"), offset, center, scale, shared, limits, log_odds)
