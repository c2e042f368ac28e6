"""Writes good rows in shards: Parquet files of both splits, the distinct ids of the shard, and rows as codes.

A shard is written in two steps. First its rows are written as Parquet in TFX's terms, and kept in the work folder with
codes of the shard's own ids. When the ids of all shards are merged, `write_codes` replaces these by the final codes.
"""

from __future__ import annotations

import os
from collections import Counter
from types import TracebackType

import numpy as np
import pyarrow as pa
import pyarrow.parquet

from components.pair_example_gen import files
from components.pair_example_gen.entities import IDS, read_column, read_table, write_table
from components.pair_example_gen.rules import IN_EVAL, TIME
from components.pair_example_gen.settings import IngestSettings
from components.pair_example_gen.split import in_eval
from trainer import features
from trainer.data.examples import SIDES, SPLITS, TRAIN, Entities, codes_file, codes_folder, entities_file

# Bounds the memory of a worker. Readers get a row group of this size at most.
_SHARD_ROWS = 1_000_000
# Of long ids, fewer rows: Arrow's offsets within a column end at 2 GiB.
_SHARD_BYTES = 512 << 20
_IDS_OF = {features.LEFT: features.LEFT_ID, features.RIGHT: features.RIGHT_ID}


def split_directory(examples: str, split: str) -> str:
    """Returns the directory of the Parquet files of a split."""
    return os.path.join(examples, f"Split-{split}")


def read_ids(work: str, side: str, shard: str) -> Entities:
    """Returns the distinct ids of a shard."""
    return Entities.of_table(read_table(_ids_file(work, side, shard)))


def places_folder(work: str, side: str) -> str:
    """Returns the folder with the places of each shard's ids in the merged table."""
    return os.path.join(work, "places", side)


def rank_file(work: str, side: str) -> str:
    """Returns the file with the code of each place in the merged table."""
    return os.path.join(work, "places", f"{side}.arrow")


def folders(examples: str, work: str) -> list[str]:
    """Returns the folders that the functions of this module write to."""
    found = [os.path.dirname(entities_file(examples, features.LEFT))]
    for side in SIDES:
        found += [os.path.join(work, "ids", side), places_folder(work, side)]
    for split in SPLITS:
        found += [os.path.join(work, "rows", split), split_directory(examples, split), codes_folder(examples, split)]
    return found


class ShardWriter:
    """Writes the rows of one chunk or part to both splits, in shards of at most a million rows.

    Args:
      examples: URI of the artifact.
      name: name of the chunk. Shards are named `NAME-00000` and so on.
      work: work folder.
    """

    def __init__(self, examples: str, name: str, work: str) -> None:
        self.rows: Counter[str] = Counter(dict.fromkeys(SPLITS, 0))
        self.shards: list[str] = []
        self._examples = examples
        self._name = name
        self._work = work
        self._held: list[tuple[pa.Table, np.ndarray]] = []
        self._held_rows = self._held_bytes = 0

    def __enter__(self) -> ShardWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._flush()

    def write(self, pairs: pa.Table, is_eval: np.ndarray) -> None:
        """Adds rows. `is_eval` bool `[n]` selects the eval rows."""
        while pairs.num_rows:
            room = _SHARD_ROWS - self._held_rows
            self._held.append((pairs[:room], is_eval[:room]))
            self._held_rows += self._held[-1][0].num_rows
            pairs, is_eval = pairs[room:], is_eval[room:]
            self._held_bytes += self._held[-1][0].nbytes
            if self._held_rows == _SHARD_ROWS or self._held_bytes >= _SHARD_BYTES:
                self._flush()

    def _flush(self) -> None:
        if not self._held:
            return
        pairs = pa.concat_tables([table for table, _ in self._held])
        is_eval = np.concatenate([mask for _, mask in self._held])
        shard = f"{self._name}-{len(self.shards):05d}"
        _write_shard(self._examples, self._work, shard, pairs, is_eval)
        self.shards.append(shard)
        self.rows.update({split: int((is_eval != (split == TRAIN)).sum()) for split in SPLITS})
        self._held, self._held_rows, self._held_bytes = [], 0, 0


def _write_shard(examples: str, work: str, shard: str, pairs: pa.Table, is_eval: np.ndarray) -> None:
    masks = {split: is_eval != (split == TRAIN) for split in SPLITS}
    columns = {name: pairs[name].combine_chunks() for name in pairs.schema.names if name != IN_EVAL}
    for side, name in _IDS_OF.items():
        column = columns[name]
        columns[name] = column if pa.types.is_dictionary(column.type) else column.dictionary_encode()
        codes, ids = columns[name].indices.to_numpy(), columns[name].dictionary
        counts = {split: np.bincount(codes[mask], minlength=len(ids)) for split, mask in masks.items()}
        write_table(Entities(ids.cast(IDS), counts).to_table(), _ids_file(work, side, shard), work)
    for split, mask in masks.items():
        if not mask.any():
            continue
        rows = pa.array(np.flatnonzero(mask))
        table = pa.table({name: column.take(rows) for name, column in columns.items()})
        write_parquet(table, examples, split, shard, work)
        coded = {
            features.LEFT: table[features.LEFT_ID].combine_chunks().indices,
            features.RIGHT: table[features.RIGHT_ID].combine_chunks().indices,
            **{name: table[name] for name in (features.SCORE, features.WEIGHT, TIME) if name in columns},
        }
        write_table(pa.table(coded), _rows_file(work, split, shard), work)


def write_parquet(table: pa.Table, examples: str, split: str, shard: str, work: str) -> None:
    """Writes one Parquet file of a split as TFX's readers expect it: every value is a list of one.

    TensorFlow Data Validation refuses columns that are not lists.
    """
    if IN_EVAL in table.schema.names:
        table = table.drop_columns([IN_EVAL])
    offsets = pa.array(np.arange(table.num_rows + 1, dtype=np.int32))
    columns = [pa.ListArray.from_arrays(offsets, table[name].combine_chunks()) for name in table.schema.names]
    lists = pa.Table.from_arrays(columns, table.schema.names)
    path = os.path.join(split_directory(examples, split), f"pairs-{shard}.parquet")
    with files.writable(path, work) as file:
        encoded = [f"{name}.list.element" for name in (features.LEFT_ID, features.RIGHT_ID)]
        # The default readers must not see Arrow's dictionary type.
        pa.parquet.write_table(lists, file, use_dictionary=encoded, write_statistics=False, store_schema=False)


def write_codes(examples: str, work: str, shard: str) -> None:
    """Writes the rows of a shard with their final codes."""
    codes = {}
    for side in SIDES:
        place = read_column(os.path.join(places_folder(work, side), f"{shard}.arrow"))
        codes[side] = read_column(rank_file(work, side))[place]
    for split in SPLITS:
        path = _rows_file(work, split, shard)
        if not files.exists(path):
            continue
        table = read_table(path)
        coded = {side: codes[side][table[side].to_numpy()] for side in SIDES}
        others = {name: table[name] for name in table.schema.names if name not in SIDES}
        write_table(pa.table({**coded, **others}), codes_file(examples, split, shard), work)


def split_by_row(pairs: pa.Table, settings: IngestSettings) -> np.ndarray:
    """Returns the mask of the eval rows by hash or by a given column, bool `[n]`. It depends on each row alone."""
    split = settings.split
    if split.by == "column":
        return np.asarray(pairs[IN_EVAL].to_numpy())
    left, right = pairs[features.LEFT_ID], pairs[features.RIGHT_ID]
    return in_eval(left, right, split.by, split.eval_fraction, settings.unordered)


def timed_split(pairs: pa.Table, cutoff: float) -> np.ndarray:
    """Returns the mask of the eval rows by time, bool `[n]`."""
    return np.asarray(pairs[TIME].to_numpy() >= cutoff)


def _ids_file(work: str, side: str, shard: str) -> str:
    return os.path.join(work, "ids", side, f"{shard}.arrow")


def _rows_file(work: str, split: str, shard: str) -> str:
    return os.path.join(work, "rows", split, f"{shard}.arrow")
