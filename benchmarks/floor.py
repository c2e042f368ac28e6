"""The least work between a file of pairs and a trained model: columns made by Arrow, and one epoch of training.

    python -m benchmarks.floor [--rows 1000000] [--entities E]

The steps are those of a prototype. `parquet` streams the CSV file to Parquet with dictionary-encoded ids, and `read`
reads that file. `unify` and `codes` number the distinct ids of the whole file, and join its columns. `counts` and
`order` sort them by frequency, and `encode` makes int32 columns of the new numbers. `floor` is the sum of these steps.
`epoch` is an epoch of Kindred's Trainer on nine tenths of the columns, which are as many rows as `benchmarks.pipeline`
trains on. It is the second of two epochs, because the first one traces graphs. Imports are not measured.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import os
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet

from benchmarks.harness import pairs_of
from benchmarks.synthetic import Planted, write_csv

_BLOCK_BYTES = 4 << 20
_ID = pa.dictionary(pa.int32(), pa.binary())
_TYPES = {"left_id": _ID, "right_id": _ID, "score": pa.float32()}
_TRAINED = 0.9

Seconds = defaultdict[str, float]


@dataclasses.dataclass(frozen=True)
class Side:
    """One side of all pairs.

    Attributes:
      ids: distinct ids, binary `[n]`, most frequent first, and of equally frequent ids the one that sorts last.
      codes: the row of `ids` of each pair, int32 `[rows]`.
    """

    ids: pa.Array
    codes: np.ndarray


@dataclasses.dataclass(frozen=True)
class Columns:
    """The encoded pairs. `score` is float32 `[rows]`."""

    left: Side
    right: Side
    score: np.ndarray


def main() -> None:
    """Measures once. Prints the seconds of each step and one JSON line."""
    arguments = _arguments()
    (file,) = pairs_of(Path(arguments.cache), arguments.rows, arguments.entities).iterdir()
    seconds: Seconds = defaultdict(float)
    with tempfile.TemporaryDirectory() as folder:
        _import_all(Path(folder))
        columns = make_columns(file, Path(folder, "pairs.parquet"), seconds)
    epoch = _epoch(columns, arguments.dimension, arguments.batch_size)
    for step, took in (*seconds.items(), ("epoch", epoch)):
        print(f"{step:<8} {took:8.3f} s")
    steps = {step: round(took, 3) for step, took in seconds.items()}
    result = {"benchmark": "floor", "floor": round(sum(seconds.values()), 3), "epoch": round(epoch, 3), "steps": steps}
    print(json.dumps(result | {"unit": "s", "n": arguments.rows, "runs": 1}))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.floor", description=str(__doc__).splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--entities", type=int, help="entities of each side (default: 50,000 left, 20,000 right)")
    parser.add_argument("--dimension", type=int, default=32)
    parser.add_argument("--batch-size", type=int, default=4096)
    parser.add_argument("--cache", default="build/bench", help="directory of generated files")
    return parser.parse_args()


def _import_all(folder: Path) -> None:
    """Encodes one pair, because Arrow imports pandas and its own datasets when they are first used."""
    write_csv(Planted(1), folder / "one.csv")
    make_columns(folder / "one.csv", folder / "one.parquet", defaultdict(float))


def make_columns(file: Path, parquet: Path, seconds: Seconds) -> Columns:
    """Encodes a CSV file of `left_id`, `right_id` and `score`.

    Args:
      file: the CSV file, with a header.
      parquet: the Parquet file to write.
      seconds: gets the seconds of each step.
    """
    with _timed(seconds, "parquet"):
        _write_parquet(file, parquet)
    with _timed(seconds, "read"):
        table = pa.parquet.read_table(parquet)
    with _timed(seconds, "unify"):
        table = table.unify_dictionaries()
    left, right = (_encode(table[name], seconds) for name in ("left_id", "right_id"))
    with _timed(seconds, "codes"):
        score = table["score"].combine_chunks().to_numpy()
    return Columns(left, right, score)


def _write_parquet(file: Path, parquet: Path) -> None:
    """Writes one row group for each block of the CSV file. Each has its own dictionaries."""
    read = pa.csv.ReadOptions(block_size=_BLOCK_BYTES)
    convert = pa.csv.ConvertOptions(column_types=_TYPES, include_columns=list(_TYPES))
    with (
        pa.csv.open_csv(file, read_options=read, convert_options=convert) as batches,
        pa.parquet.ParquetWriter(parquet, batches.schema) as out,
    ):
        for batch in batches:
            out.write_batch(batch)


def _encode(column: pa.ChunkedArray, seconds: Seconds) -> Side:
    """Orders ids by frequency. All chunks of `column` have the same dictionary."""
    with _timed(seconds, "codes"):
        ids = column.chunk(0).dictionary
        codes = np.concatenate([chunk.indices.to_numpy() for chunk in column.chunks])
    with _timed(seconds, "counts"):
        counts = np.bincount(codes, minlength=len(ids))
    with _timed(seconds, "order"):
        keys = [("count", "descending"), ("id", "descending")]
        order = pc.sort_indices(pa.table({"count": counts, "id": ids}), keys)
        rank = np.empty(len(ids), np.int32)
        rank[order.to_numpy()] = np.arange(len(ids), dtype=np.int32)
        ids = ids.take(order)
    with _timed(seconds, "encode"):
        return Side(ids, rank[codes])


def _epoch(columns: Columns, dimension: int, batch_size: int) -> float:
    """Returns the seconds of a training epoch without tracing."""
    from compat.process import prepare

    prepare()
    from benchmarks.train import fit_epochs
    from trainer.data.pairs import Pairs
    from trainer.model.table_sizes import TableSizes
    from trainer.settings import ModelSettings, TrainSettings

    label = columns.score - columns.score.mean()
    pairs = Pairs(columns.left.codes, columns.right.codes, label).take(slice(0, round(_TRAINED * len(label))))
    sizes = TableSizes(len(columns.left.ids), len(columns.right.ids))
    settings = TrainSettings(epochs=2, batch_size=batch_size, early_stopping=None)
    _, (seconds,) = fit_epochs(pairs, sizes, ModelSettings(dimension=dimension), settings)
    return seconds


@contextlib.contextmanager
def _timed(seconds: Seconds, step: str) -> Iterator[None]:
    since = time.monotonic()
    yield
    seconds[step] += time.monotonic() - since


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    main()
