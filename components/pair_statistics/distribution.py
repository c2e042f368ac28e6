"""The distribution of a split: counts of each entity, and the scores if present. Distributions can be merged."""

from __future__ import annotations

import dataclasses
import os

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet
import tensorflow as tf

from components.pair_example_gen import files
from trainer.data.examples import Entities, Examples

COUNTS = pa.schema([("id", pa.large_binary()), ("count", pa.int64())])
_SEED = 1
_FILES = {"left": "left.parquet", "right": "right.parquet", "scores": "scores.parquet"}


@dataclasses.dataclass(frozen=True)
class Distribution:
    """Entity counts of both sides, and all scores or a sample of them.

    Attributes:
      left: table with schema COUNTS, most frequent ids first.
      right: the same for the right side.
      scores: sorted, float32, at most one for each pair, or `[0]` for positives without scores.
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


def of_split(examples: Examples, split: str, fraction: float = 1.0) -> Distribution:
    """Returns the distribution of a split: all of its ids, and its scores or a reproducible random `fraction` of them.

    Ids of equal frequency keep the order of codes.
    """
    draw = np.random.default_rng(_SEED)
    scores = [rows.score for rows in examples.blocks(split) if rows.score is not None]
    if fraction < 1:
        scores = [part[draw.random(len(part)) < fraction] for part in scores]
    ordered = np.sort(np.concatenate([*scores, np.zeros(0, np.float32)]))
    return Distribution(_present(examples.left, split), _present(examples.right, split), ordered)


def _present(entities: Entities, split: str) -> pa.Table:
    counts = entities.counts[split]
    order = np.argsort(-counts, kind="stable")[: np.count_nonzero(counts)]
    return pa.table([entities.ids.take(pa.array(order)), counts[order]], schema=COUNTS)


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
        # Every id and nearly every score is another one.
        pa.parquet.write_table(table, buffer, use_dictionary=False)
        with files.whole(os.path.join(directory, _FILES[name])) as staged, tf.io.gfile.GFile(staged, "wb") as out:
            out.write(buffer.getvalue().to_pybytes())


def read(directory: str) -> Distribution:
    """Reads the output of `write`."""
    tables = {}
    for name, file in _FILES.items():
        with tf.io.gfile.GFile(os.path.join(directory, file), "rb") as source:
            tables[name] = pa.parquet.read_table(pa.BufferReader(source.read()))
    # Older versions wrote ids as binary.
    tables |= {side: tables[side].cast(COUNTS) for side in ("left", "right")}
    return Distribution(tables["left"], tables["right"], tables["scores"]["score"].to_numpy())


def _sum(tables: list[pa.Table]) -> pa.Table:
    """Adds the counts of each id. Ids of equal frequency keep the order in which they were first seen."""
    if len(tables) == 1:
        return tables[0]
    together = pa.concat_tables(tables)
    encoded = together["id"].combine_chunks().dictionary_encode()
    counts = np.bincount(encoded.indices.to_numpy(), together["count"].to_numpy(), len(encoded.dictionary))
    counts = counts.astype(np.int64)
    order = np.argsort(-counts, kind="stable")
    return pa.table([encoded.dictionary.take(pa.array(order)), counts[order]], schema=COUNTS)
