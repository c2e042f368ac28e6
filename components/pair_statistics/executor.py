"""Describes every split. Ingestion has counted the ids, so that only the scores are read."""

from __future__ import annotations

import os

import tensorflow as tf
from tfx.types import artifact_utils

from components.execution import ExecutionArguments, ExecutorBase
from components.pair_example_gen import files
from components.pair_example_gen.executor import ROWS_PROPERTY
from components.pair_statistics import distribution, entity_features
from components.pair_statistics.distribution import Distribution
from components.pair_statistics.protos import statistics_of
from trainer.data.examples import Examples

SAMPLED_PROPERTY = "sampled_fraction"
STATISTICS_FILE = "FeatureStats.pb"


class Executor(ExecutorBase):
    """Executor of PairStatisticsGen. See there for inputs and outputs."""

    def execute(self, execution: ExecutionArguments) -> None:
        """Writes TFDV's statistics of every split, and the distributions in `distributions/SPLIT`."""
        examples, statistics = execution.input("examples"), execution.output("statistics")
        splits = artifact_utils.decode_split_names(examples.split_names)
        statistics.split_names = examples.split_names
        statistics.span = examples.span
        rows = sum(examples.get_int_custom_property(ROWS_PROPERTY.format(split)) for split in splits)
        fraction = min(1.0, execution.parameters["max_rows"] / max(rows, 1))
        statistics.set_float_custom_property(SAMPLED_PROPERTY, fraction)
        entity_features.write(entity_features.of_examples(examples.uri), statistics.uri)
        columns = Examples(examples.uri)
        for split in splits:
            write_split(distribution.of_split(columns, split, fraction), statistics.uri, split)


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
