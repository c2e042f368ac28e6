"""Counts and sorts the vocabularies of TensorFlow Transform with Arrow. The files are the same to the byte.

TensorFlow Transform passes each id to Beam as an element, and each distinct id again from step to step: count, merge,
filter, sort, write. The steps of this module count each batch in C++ and pass on tables of counts. They are for runs in
one process, where tables are not serialized. Other runners use the steps of TensorFlow Transform.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import tensorflow as tf
from apache_beam.transforms.window import GlobalWindow
from apache_beam.utils.windowed_value import WindowedValue
from tensorflow_transform import analyzer_nodes, analyzers
from tensorflow_transform.beam import common

# Minimum number of rows of counts to collect before they are added up.
_FOLD_ROWS = 1 << 22
_WRITE_ROWS = 1 << 16
_SCHEMA = pa.schema([("token", pa.large_binary()), ("count", pa.int64())])
# Most frequent first. Tokens with the same count are in descending order.
_ORDER = [("count", "descending"), ("token", "descending")]


def count_by_arrow() -> None:
    """Registers the steps of this module for all later pipelines of this process. Can be called more than once.

    TensorFlow Transform prefers steps that are registered for TensorFlow 2. Its own steps are registered for any
    version.
    """
    for operation, step in _STEPS.items():
        common.register_ptransform(operation, tags={common.EnvironmentTags.TF_V2_ONLY})(step)


class _Step(beam.PTransform):
    """A step of a vocabulary, with the constructor that TensorFlow Transform calls.

    Args:
      operation: analyzer node with the settings of the vocabulary.
      extra_args: arguments of the pipeline, such as `base_temp_dir`.
    """

    def __init__(self, operation: Any, extra_args: Any) -> None:
        super().__init__()
        self._operation, self._extra_args = operation, extra_args


class Accumulate(_Step):
    """Counts the tokens of batches."""

    def expand(self, inputs: tuple[beam.PCollection, ...]) -> beam.PCollection:
        """Transforms a PCollection of `(tokens,)`, object `[n]`, into one of tables."""
        if self._operation.vocab_ordering_type != analyzers._VocabOrderingType.FREQUENCY:
            raise ValueError("Arrow counts only vocabularies that are ordered by frequency")
        (batches,) = inputs
        return batches | "Count" >> beam.ParDo(_CountTokens()).with_output_types(pa.Table)


class Merge(_Step):
    """Merges tables of counts into one."""

    def expand(self, inputs: tuple[beam.PCollection, ...]) -> beam.PCollection:
        """Transforms a PCollection of tables into one of a single table."""
        (tables,) = inputs
        return tables | "Add" >> beam.CombineGlobally(_add).with_output_types(pa.Table)


class Prune(_Step):
    """Keeps the tokens that are frequent enough, and at most `top_k` of them."""

    def expand(self, inputs: tuple[beam.PCollection, ...]) -> beam.PCollection:
        """Transforms a PCollection of a table into another."""
        (table,) = inputs
        least, most = self._operation.frequency_threshold, self._operation.top_k
        return table | "Prune" >> beam.Map(_prune, least, most).with_output_types(pa.Table)


class Count(_Step):
    """Counts the tokens of a vocabulary. An empty vocabulary has one placeholder token."""

    def expand(self, inputs: tuple[beam.PCollection, ...]) -> beam.PCollection:
        """Transforms a PCollection of a table into one of its length, int64."""
        (table,) = inputs
        return table | "Size" >> beam.Map(lambda table: np.int64(max(len(table), 1))).with_output_types(np.int64)


class OrderAndWrite(_Step):
    """Writes the vocabulary file."""

    def expand(self, inputs: tuple[beam.PCollection, ...]) -> tuple[beam.PCollection]:
        """Transforms a PCollection of a table into one of the path of its file."""
        (table,) = inputs
        path = os.path.join(self._extra_args.base_temp_dir, self._operation.vocab_filename)
        return (table | "Write" >> beam.Map(_write, path).with_output_types(np.ndarray),)


_STEPS = {
    analyzer_nodes.VocabularyAccumulate: Accumulate,
    analyzer_nodes.VocabularyMerge: Merge,
    analyzer_nodes.VocabularyPrune: Prune,
    analyzer_nodes.VocabularyCount: Count,
    analyzer_nodes.VocabularyOrderAndWrite: OrderAndWrite,
}


class _CountTokens(beam.DoFn):
    """Counts the tokens of a bundle."""

    def start_bundle(self) -> None:
        self._parts: list[pa.Table] = []
        self._limit = _FOLD_ROWS

    def process(self, batch: tuple[np.ndarray, ...]) -> None:
        (tokens,) = batch
        counted = pa.array(tokens, pa.large_binary()).value_counts()
        self._parts.append(pa.table(counted.flatten(), schema=_SCHEMA))
        if sum(map(len, self._parts)) >= self._limit:
            self._parts = [_add(self._parts)]
            # Double the threshold so that merging stays amortized linear.
            self._limit = max(_FOLD_ROWS, 2 * len(self._parts[0]))

    def finish_bundle(self) -> Iterator[WindowedValue]:
        yield WindowedValue(_add(self._parts), GlobalWindow().max_timestamp(), [GlobalWindow()])


def _add(tables: Iterable[pa.Table]) -> pa.Table:
    """Adds up tables of counts."""
    # Arrow's `group_by` takes far more time and memory on millions of tokens.
    together = pa.concat_tables([_SCHEMA.empty_table(), *tables])
    encoded = together["token"].combine_chunks().dictionary_encode()
    counts = np.zeros(len(encoded.dictionary), np.int64)
    np.add.at(counts, encoded.indices.to_numpy(), together["count"].to_numpy())
    return pa.table([encoded.dictionary, counts], schema=_SCHEMA)


def _prune(table: pa.Table, least: int | None, most: int | None) -> pa.Table:
    if least:
        table = table.filter(pc.field("count") >= least)
    return table if most is None else table.sort_by(_ORDER).slice(0, most)


def _write(table: pa.Table, path: str) -> np.ndarray:
    tokens = table.sort_by(_ORDER)["token"].combine_chunks()
    if not len(tokens):
        tokens = pa.array([analyzers.get_empy_vocabulary_dummy_value(tf.string.name)[1]], pa.large_binary())
    tf.io.gfile.makedirs(os.path.dirname(path))
    with tf.io.gfile.GFile(path, "wb") as file:
        for start in range(0, len(tokens), _WRITE_ROWS):
            file.write(b"".join(token + b"\n" for token in tokens.slice(start, _WRITE_ROWS).to_pylist()))
    return np.array(path)
