"""The tables of a published model, read from its files: no graph is loaded, nothing of TensorFlow runs."""

from __future__ import annotations

import dataclasses
import os

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import tensorflow as tf


@dataclasses.dataclass(frozen=True)
class Side:
    """One side: row i of vectors and biases is that of id i; the rows after the last id are for unknown ids."""

    ids: pa.Array  # binary [n]
    vectors: np.ndarray  # float32 [rows, d]
    bias: np.ndarray  # float32 [rows]

    @property
    def known(self) -> int:
        """How many ids there are."""
        return len(self.ids)

    def rows_of(self, ids: pa.Array) -> np.ndarray:
        """The row of each of `ids` `[m]`, int64; `known`, the first row for unknown ids, where it is none."""
        found = pc.index_in(ids, value_set=self.ids).fill_null(self.known)
        return np.asarray(found.to_numpy(zero_copy_only=False).astype(np.int64))


@dataclasses.dataclass(frozen=True)
class Tables:
    """score = dot(left vector, right vector) + left bias + right bias + offset."""

    left: Side
    right: Side
    offset: float


def read_tables(directory: str) -> Tables:
    """The tables of the SavedModel in `directory`, which `trainer.export` wrote."""
    variables = tf.train.load_checkpoint(os.path.join(directory, "variables", "variables"))

    def value(name: str) -> np.ndarray:
        return np.asarray(variables.get_tensor(f"{name}/.ATTRIBUTES/VARIABLE_VALUE"))

    def side(name: str) -> Side:
        ids = pa.array(value(f"{name}/ids").tolist(), pa.binary())
        return Side(ids, value(f"{name}/vectors"), value(f"{name}/bias"))

    return Tables(side("left"), side("right"), float(value("offset")))
