"""The examples of a run in columns: rows of codes, and one table of distinct ids for each side.

Next to the Parquet files of its splits, an `Examples` artifact has what the components of a run read:

    entities/left.arrow, right.arrow     a row for each distinct id, with its number of rows in each split
    codes/SPLIT/SHARD.arrow              a row for each pair: the codes of its ids, and its numbers

A code is a row of the table of ids. The ids of the train split come first, in the order of TensorFlow Transform's
vocabularies (`vocabulary_order`).
"""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import tensorflow as tf

from errors import InputError
from storage import by_url
from storage.urls import is_object
from trainer import features

TRAIN, EVAL = SPLITS = ("train", "eval")
SIDES = (features.LEFT, features.RIGHT)

_SUFFIX = ".arrow"


class NoColumns(InputError):
    """The artifact has no columns: an older version of this program wrote it."""


def entities_file(examples: str, side: str) -> str:
    """Returns the path of the table of ids of `left` or `right`."""
    return os.path.join(examples, "entities", side + _SUFFIX)


def codes_folder(examples: str, split: str) -> str:
    """Returns the folder with the codes of a split."""
    return os.path.join(examples, "codes", split)


def codes_file(examples: str, split: str, shard: str) -> str:
    """Returns the path of the codes of a shard."""
    return os.path.join(codes_folder(examples, split), shard + _SUFFIX)


def vocabulary_order(ids: pa.Array, counts: np.ndarray) -> np.ndarray:
    """Returns the order of a vocabulary of TensorFlow Transform, int64 `[n]`.

    Most frequent first, and of equally frequent ids the one that sorts last.

    Args:
      ids: distinct ids, large_binary `[n]`.
      counts: number of rows of each id in the train split, int64 `[n]`.
    """
    table = pa.table({"count": counts, "id": ids})
    order = pc.sort_indices(table, [("count", "descending"), ("id", "descending")])
    return np.asarray(order.to_numpy())


def of_split(pattern: str) -> str:
    """Returns the URI of the artifact whose files of a split match `pattern`, such as `URI/Split-train/*`."""
    return os.path.dirname(os.path.dirname(pattern))


@dataclasses.dataclass(frozen=True)
class Entities:
    """The distinct ids of a side.

    Attributes:
      ids: large_binary `[n]`, in the order of codes.
      counts: number of rows of each id in each split, int64 `[n]` by name.
    """

    ids: pa.Array
    counts: dict[str, np.ndarray]

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def trained(self) -> int:
        """The number of ids with a row in the train split. Their codes are the lowest."""
        return int(np.count_nonzero(self.counts[TRAIN]))

    def to_table(self) -> pa.Table:
        """Returns columns `id` and one for each split."""
        return pa.table({"id": self.ids, **self.counts})

    @classmethod
    def of_table(cls, table: pa.Table) -> Entities:
        """Reads the output of `to_table`."""
        counts = {name: table[name].to_numpy() for name in table.schema.names if name != "id"}
        return cls(table["id"].combine_chunks(), counts)


@dataclasses.dataclass(frozen=True)
class Rows:
    """Pairs of one split.

    Attributes:
      left: codes of the left ids, int32 `[n]`.
      right: codes of the right ids, int32 `[n]`.
      score: float32 `[n]`, or None if every pair is a positive.
      weight: float32 `[n]`, or None if every row counts the same.
      time: float64 `[n]`, or None if rows have no time.
    """

    left: np.ndarray
    right: np.ndarray
    score: np.ndarray | None = None
    weight: np.ndarray | None = None
    time: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.left)

    def take(self, rows: np.ndarray | slice) -> Rows:
        """Returns the given rows, or those of a mask."""
        optional = (None if column is None else column[rows] for column in (self.score, self.weight, self.time))
        return Rows(self.left[rows], self.right[rows], *optional)


class Examples:
    """Reads an examples artifact. Local files are mapped into memory, not copied.

    Args:
      uri: the artifact's folder.

    Raises:
      NoColumns: an older version wrote the artifact.
    """

    def __init__(self, uri: str) -> None:
        self.uri = uri
        if not tf.io.gfile.exists(entities_file(uri, features.LEFT)):
            raise NoColumns(
                f"an older version wrote the examples in {uri}, without columns. Run again: the run reads the data "
                "again"
            )

    @functools.cached_property
    def left(self) -> Entities:
        """The distinct left ids."""
        return self.entities(features.LEFT)

    @functools.cached_property
    def right(self) -> Entities:
        """The distinct right ids."""
        return self.entities(features.RIGHT)

    def entities(self, side: str) -> Entities:
        """Reads the distinct ids of `left` or `right`."""
        return Entities.of_table(pa.ipc.open_file(opened(entities_file(self.uri, side))).read_all())

    def blocks(self, split: str) -> Iterator[Rows]:
        """Yields the rows of a split in blocks, always in the same order."""
        folder = codes_folder(self.uri, split)
        for name in sorted(tf.io.gfile.listdir(folder)):
            source = pa.ipc.open_file(opened(os.path.join(folder, name)))
            for number in range(source.num_record_batches):
                yield _rows(source.get_batch(number))

    def rows(self, split: str) -> Rows:
        """Returns all rows of a split."""
        blocks = list(self.blocks(split))
        if not blocks:
            return Rows(np.zeros(0, np.int32), np.zeros(0, np.int32))
        if len(blocks) == 1:
            return blocks[0]
        return Rows(
            np.concatenate([block.left for block in blocks]),
            np.concatenate([block.right for block in blocks]),
            _concatenated([block.score for block in blocks]),
            _concatenated([block.weight for block in blocks]),
            _concatenated([block.time for block in blocks]),
        )

    def count(self, split: str) -> int:
        """Returns the number of rows of a split."""
        return int(self.left.counts[split].sum())


def opened(file: str) -> pa.NativeFile:
    """Opens a file. Maps a local one into memory."""
    return pa.BufferReader(by_url.read(file)) if is_object(file) else pa.memory_map(file)


def _rows(batch: pa.RecordBatch) -> Rows:
    names = batch.schema.names
    columns = {name: batch.column(name).to_numpy() for name in names}
    optional = (columns.get(name) for name in (features.SCORE, features.WEIGHT, features.TIME))
    return Rows(columns[features.LEFT], columns[features.RIGHT], *optional)


def _concatenated(columns: list[np.ndarray | None]) -> np.ndarray | None:
    held = [column for column in columns if column is not None]
    return np.concatenate(held) if held else None
