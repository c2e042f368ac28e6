"""Reads the tables of a published model, the base of a warm start. Does not load its graph."""

from __future__ import annotations

import dataclasses
import os
from typing import Any

import numpy as np
import pyarrow as pa
import tensorflow as tf

from compat.tensorflow_paths import literal
from trainer.export.unit import Unit


class ColdStart(Exception):
    """Training cannot start from the base model and starts without it. The message is the reason."""


@dataclasses.dataclass(frozen=True)
class BaseSide:
    """One side of a published model. Rows are those of its vocabulary, then the out-of-vocabulary buckets."""

    ids: pa.Array  # large_binary [v]
    vectors: np.ndarray  # float32 [v + buckets, d]
    bias: np.ndarray  # float32 [v + buckets]


@dataclasses.dataclass(frozen=True)
class BaseModel:
    """The tables of a published model."""

    left: BaseSide
    right: BaseSide
    offset: float
    unit: Unit
    hashes: int = 1

    @property
    def shared(self) -> bool:
        """Whether both sides share one table."""
        return self.left.ids.equals(self.right.ids) and np.array_equal(self.left.vectors, self.right.vectors)


def read_model(directory: str) -> BaseModel:
    """Reads the tables of a SavedModel from its variables. Does not load its graph.

    Raises:
      ColdStart: the variables are missing, or have the format of another version.
    """
    variables = os.path.join(literal(directory), "variables", "variables")
    if not tf.io.gfile.exists(variables + ".index"):
        raise ColdStart("the files of the base model are missing")
    reader = tf.train.load_checkpoint(variables)

    def key(name: str) -> str:
        return f"{name}/.ATTRIBUTES/VARIABLE_VALUE"

    def read(name: str) -> Any:
        if not reader.has_tensor(key(name)):
            raise ColdStart(f"another version of Kindred published the base model without {name}")
        return reader.get_tensor(key(name))

    def side(name: str) -> BaseSide:
        # A shared table is stored once, as that of the left side.
        table = name if reader.has_tensor(key(f"{name}/vectors")) else "left"
        ids = pa.array(read(f"{table}/ids"), pa.large_binary())
        return BaseSide(ids, read(f"{table}/vectors"), read(f"{name}/bias"))

    unit = Unit(float(read("center")), float(read("scale")))
    # Older models do not have this number.
    hashes = int(read("hashes")) if reader.has_tensor(key("hashes")) else 1
    return BaseModel(side("left"), side("right"), float(read("offset")), unit, hashes)


def read_vocabulary(file: str) -> pa.Array:
    """Returns the lines of a vocabulary file, large_binary `[v]`. Creates no Python object per id."""
    with tf.io.gfile.GFile(file, "rb") as opened:
        content = opened.read()
    text = np.frombuffer(content, np.uint8)
    ends = np.flatnonzero(text == ord("\n"))
    if len(text) and (not len(ends) or ends[-1] != len(text) - 1):
        ends = np.append(ends, len(text))
    # Line i starts after the end of line i - 1. Without the line ends before it, lines are adjacent.
    offsets = np.zeros(len(ends) + 1, np.int64)
    offsets[1:] = ends - np.arange(len(ends))
    return pa.Array.from_buffers(
        pa.large_binary(), len(ends), [None, pa.py_buffer(offsets), pa.py_buffer(text[text != ord("\n")])]
    )
