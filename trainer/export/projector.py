"""Files for TensorBoard's embedding projector: vectors and their ids.

`tensorboard --logdir` of a Trainer's `model_run` shows them in the tab "Projector".
"""

from __future__ import annotations

import os
from collections.abc import Iterable

import keras
import numpy as np
import pyarrow as pa
import pyarrow.csv
import tensorflow as tf

from trainer import features
from trainer.data.transform_graph import TransformGraph
from trainer.model.network import LEFT_VECTORS, RIGHT_VECTORS

CONFIG_FILE = "projector_config.pbtxt"

# The projector holds all points in the memory of the browser, and samples larger tables.
MAX_ROWS = 10_000


def write(network: keras.Model, transform: TransformGraph, shared: bool, directory: str) -> None:
    """Writes the vectors and ids of the most frequent entities of each table, at most `MAX_ROWS`.

    Args:
      network: the trained network.
      transform: the transform graph with the vocabularies.
      shared: whether both sides use one table.
      directory: where the files are written.
    """
    tf.io.gfile.makedirs(directory)
    tables = ["shared"] if shared else ["left", "right"]
    layers = (LEFT_VECTORS, RIGHT_VECTORS)
    entries = []
    for table, layer, vocabulary in zip(tables, layers, features.vocabulary_names(shared), strict=False):
        # The vocabulary is ordered by frequency, and rows have the same order.
        ids = transform.vocabulary_by_name(vocabulary)
        shown = min(len(ids), MAX_ROWS)
        vectors = network.get_layer(layer).embeddings.value[:shown].numpy()
        _write_vectors(directory, f"{table}_vectors.tsv", vectors)
        _write_lines(directory, f"{table}_ids.tsv", map(_printable, ids[:shown]))
        entries.append(_entry(table, shown, len(ids), vectors.shape[1]))
    _write_lines(directory, CONFIG_FILE, entries)


def _entry(table: str, shown: int, of: int, dimension: int) -> str:
    """Returns one table in the text format of TensorBoard's ProjectorConfig."""
    return "\n".join(
        [
            f"# the {shown:,} most frequent of {of:,} ids",
            "embeddings {",
            f'  tensor_name: "{table}"',
            f"  tensor_shape: {shown}",
            f"  tensor_shape: {dimension}",
            f'  tensor_path: "{table}_vectors.tsv"',
            f'  metadata_path: "{table}_ids.tsv"',
            "}",
        ]
    )


def _printable(name: bytes) -> str:
    """Returns an id as a cell of a TSV file."""
    return name.decode("utf-8", "backslashreplace").replace("\t", "\\t")


def _write_vectors(directory: str, name: str, vectors: np.ndarray) -> None:
    table = pa.table(list(vectors.T.copy()), [str(column) for column in range(vectors.shape[1])])
    buffer = pa.BufferOutputStream()
    pa.csv.write_csv(table, buffer, pa.csv.WriteOptions(include_header=False, delimiter="\t"))
    with tf.io.gfile.GFile(os.path.join(directory, name), "wb") as file:
        file.write(buffer.getvalue().to_pybytes())


def _write_lines(directory: str, name: str, lines: Iterable[str]) -> None:
    with tf.io.gfile.GFile(os.path.join(directory, name), "w") as file:
        file.write("".join(f"{line}\n" for line in lines))
