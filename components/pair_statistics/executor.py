"""Counts every split in Beam: one distribution per file, merged per split."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

import apache_beam as beam
import numpy as np
import pyarrow as pa
import tensorflow as tf
from tfx.dsl.components.base import base_beam_executor
from tfx.types import artifact_utils

from components.example_reader import read_batches, split_files
from components.execution import ExecutionArguments, ExecutorBase
from components.pair_example_gen import files
from components.pair_example_gen.executor import ROWS_PROPERTY
from components.pair_statistics import distribution
from components.pair_statistics.distribution import Distribution
from components.pair_statistics.protos import statistics_of

SAMPLED_PROPERTY = "sampled_fraction"
STATISTICS_FILE = "FeatureStats.pb"
_SEED = 1


class Executor(ExecutorBase, base_beam_executor.BaseBeamExecutor):
    """Executor of PairStatisticsGen. See there for inputs and outputs."""

    def execute(self, execution: ExecutionArguments) -> None:
        """Writes TFDV's statistics of every split, and the exact distributions in `distributions/SPLIT`."""
        examples, statistics = execution.input("examples"), execution.output("statistics")
        splits = artifact_utils.decode_split_names(examples.split_names)
        statistics.split_names = examples.split_names
        statistics.span = examples.span
        rows = sum(examples.get_int_custom_property(ROWS_PROPERTY.format(split)) for split in splits)
        fraction = min(1.0, execution.parameters["max_rows"] / max(rows, 1))
        statistics.set_float_custom_property(SAMPLED_PROPERTY, fraction)
        for split in splits:
            # A split without rows has no file, and its statistics state zero rows.
            write_split(distribution.empty(), statistics.uri, split)
        shards = [(split, file) for split in splits for file in split_files(examples.uri, split)]
        with self._make_beam_pipeline() as pipeline:
            counted = (
                pipeline
                | "Files" >> beam.Create(shards, reshuffle=True)
                | "Count" >> beam.MapTuple(lambda split, file: (split, count_file(file, fraction)))
                | "Merge" >> beam.CombinePerKey(_merge)
            )
            _ = counted | "Write" >> beam.MapTuple(lambda split, counts: write_split(counts, statistics.uri, split))


def count_file(file: str, fraction: float) -> Distribution:
    """Returns the distribution of a TFRecord file, or of a reproducible random `fraction` of its rows."""
    draw = np.random.default_rng(_SEED)
    batches = read_batches(file)
    if fraction < 1:
        batches = (batch.filter(pa.array(draw.random(batch.num_rows) < fraction)) for batch in batches)
    return _fold(distribution.of_batch(batch) for batch in batches)


def _fold(parts: Iterator[Distribution]) -> Distribution:
    """Merges in groups, so that memory holds only a few batches in addition to the sum."""
    held: list[Distribution] = []
    for part in parts:
        held.append(part)
        if len(held) == 16:
            held = [distribution.merge(held)]
    return distribution.merge(held)


def _merge(parts: Iterable[Distribution]) -> Distribution:
    return distribution.merge(list(parts))


def write_split(counts: Distribution, uri: str, split: str) -> None:
    """Writes statistics and distribution of one split."""
    distribution.write(counts, os.path.join(uri, "distributions", split))
    directory = os.path.join(uri, f"Split-{split}")
    tf.io.gfile.makedirs(directory)
    with files.whole(os.path.join(directory, STATISTICS_FILE)) as staged, tf.io.gfile.GFile(staged, "wb") as out:
        out.write(statistics_of(counts).SerializeToString(deterministic=True))


def read_split(uri: str, split: str) -> Distribution:
    """Reads the distribution of a split of a statistics artifact."""
    return distribution.read(os.path.join(uri, "distributions", split))
