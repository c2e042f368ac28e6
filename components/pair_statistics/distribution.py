"""The exact distribution of a split: counts of each entity, and the scores if present. Distributions can be merged."""

from __future__ import annotations

import dataclasses
import os

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet
import tensorflow as tf

from components.pair_example_gen import files
from trainer import features

COUNTS = pa.schema([("id", pa.binary()), ("count", pa.int64())])
_FILES = {"left": "left.parquet", "right": "right.parquet", "scores": "scores.parquet"}


@dataclasses.dataclass(frozen=True)
class Distribution:
    """Entity counts of both sides, and every score.

    Attributes:
      left: table with schema COUNTS, most frequent ids first, ties by id.
      right: the same for the right side.
      scores: sorted, float32 `[rows]`, or `[0]` for positives without scores.
    """

    left: pa.Table
    right: pa.Table
    scores: np.ndarray

    @property
    def rows(self) -> int:
        """Number of pairs."""
        return pc.sum(self.left["count"]).as_py() or 0

    @property
    def has_scores(self) -> bool:
        """Whether the pairs have scores. False without pairs."""
        return len(self.scores) > 0

    def entities(self, side: str) -> pa.Table:
        """Returns the counts of `left` or `right`."""
        return self.left if side == "left" else self.right


def empty() -> Distribution:
    """Returns the distribution of no pairs."""
    return Distribution(COUNTS.empty_table(), COUNTS.empty_table(), np.zeros(0, np.float32))


def of_batch(batch: pa.RecordBatch) -> Distribution:
    """Counts a batch with columns `left_id`, `right_id` and optionally `score`."""
    scored = features.SCORE in batch.schema.names
    return Distribution(
        _count(batch.column(features.LEFT_ID)),
        _count(batch.column(features.RIGHT_ID)),
        np.sort(batch.column(features.SCORE).to_numpy(zero_copy_only=False)) if scored else np.zeros(0, np.float32),
    )


def merge(parts: list[Distribution]) -> Distribution:
    """Returns the distribution of all pairs of `parts`."""
    if not parts:
        return empty()
    return Distribution(
        _sum([part.left for part in parts]),
        _sum([part.right for part in parts]),
        np.sort(np.concatenate([part.scores for part in parts])),
    )


def write(distribution: Distribution, directory: str) -> None:
    """Writes three Parquet files into `directory`."""
    scores = pa.table({"score": distribution.scores})
    tables = {"left": distribution.left, "right": distribution.right, "scores": scores}
    tf.io.gfile.makedirs(directory)
    for name, table in tables.items():
        buffer = pa.BufferOutputStream()
        pa.parquet.write_table(table, buffer)
        with files.whole(os.path.join(directory, _FILES[name])) as staged, tf.io.gfile.GFile(staged, "wb") as out:
            out.write(buffer.getvalue().to_pybytes())


def read(directory: str) -> Distribution:
    """Reads the output of `write`."""
    tables = {}
    for name, file in _FILES.items():
        with tf.io.gfile.GFile(os.path.join(directory, file), "rb") as source:
            tables[name] = pa.parquet.read_table(pa.BufferReader(source.read()))
    return Distribution(tables["left"], tables["right"], tables["scores"]["score"].to_numpy())


def _count(column: pa.Array) -> pa.Table:
    counted = column.value_counts()
    return _ordered(pa.Table.from_arrays([counted.field("values"), counted.field("counts")], schema=COUNTS))


def _sum(tables: list[pa.Table]) -> pa.Table:
    if len(tables) == 1:
        return tables[0]
    summed = pa.concat_tables(tables).group_by("id").aggregate([("count", "sum")])
    return _ordered(pa.Table.from_arrays([summed["id"], summed["count_sum"]], schema=COUNTS))


def _ordered(table: pa.Table) -> pa.Table:
    return table.sort_by([("count", "descending"), ("id", "ascending")])
