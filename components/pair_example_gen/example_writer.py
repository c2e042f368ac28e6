"""Writes good rows as gzipped TFRecords of tf.Examples. C++ serializes one Arrow batch at a time."""

from __future__ import annotations

import contextlib
import os
from collections import Counter
from collections.abc import Iterator
from types import TracebackType

import numpy as np
import pyarrow as pa
import tensorflow as tf
from tfx_bsl.coders.example_coder import RecordBatchToExamplesEncoder

from components.pair_example_gen import files
from components.pair_example_gen.rules import TIME
from components.pair_example_gen.split import in_eval

TRAIN, EVAL = SPLITS = ("train", "eval")

# A reader cannot split a gzip file, so limit what one worker has to read.
_SHARD_ROWS = 1_000_000
# Takes half the time of the level in TFX's ExampleGen. The files are one seventh larger.
_OPTIONS = tf.io.TFRecordOptions(compression_type="GZIP", compression_level=1)


def split_directory(examples: str, split: str) -> str:
    """Returns the directory of a split."""
    return os.path.join(examples, f"Split-{split}")


class SplitWriter:
    """Writes the train and eval rows of one chunk or part, one shard per million rows."""

    def __init__(self, examples: str, name: str, staging: str | None = None) -> None:
        self.rows: Counter[str] = Counter(dict.fromkeys(SPLITS, 0))
        self._examples = examples
        self._name = name
        self._staging = staging
        self._writers: dict[str, tf.io.TFRecordWriter] = {}
        self._shards: dict[str, contextlib.ExitStack] = {}

    def __enter__(self) -> SplitWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        shards = contextlib.ExitStack()
        for shard in self._shards.values():
            shards.push(shard)
        shards.__exit__(kind, error, trace)

    def write(self, pairs: pa.Table, is_eval: np.ndarray) -> None:
        """Writes rows to both splits. `is_eval` bool `[n]` selects the eval rows."""
        for split, mask in ((TRAIN, ~is_eval), (EVAL, is_eval)):
            chosen = pairs.filter(pa.array(mask))
            if chosen.num_rows:
                self._write(split, chosen)

    def _write(self, split: str, pairs: pa.Table) -> None:
        shard = self.rows[split] // _SHARD_ROWS
        if split in self._writers and self.rows[split] % _SHARD_ROWS == 0:
            del self._writers[split]
            self._shards.pop(split).close()
        if split not in self._writers:
            opened = shard_writer(self._examples, split, f"{self._name}-{shard:05d}", self._staging)
            self._shards[split] = contextlib.ExitStack()
            self._writers[split] = self._shards[split].enter_context(opened)
        room = _SHARD_ROWS - self.rows[split] % _SHARD_ROWS
        write = self._writers[split].write
        for example in encode(pairs[:room]):
            write(example)
        self.rows[split] += min(room, pairs.num_rows)
        if pairs.num_rows > room:
            self._write(split, pairs[room:])


@contextlib.contextmanager
def shard_writer(examples: str, split: str, name: str, staging: str | None = None) -> Iterator[tf.io.TFRecordWriter]:
    """Opens a file of a split for writing. The file appears only when complete."""
    path = os.path.join(split_directory(examples, split), f"pairs-{name}.gz")
    with files.whole(path, staging) as staged, tf.io.TFRecordWriter(staged, _OPTIONS) as writer:
        yield writer


def hashed_split(pairs: pa.Table, by: str, eval_fraction: float) -> np.ndarray:
    """Returns the mask of the eval rows by hash, bool `[n]`."""
    return in_eval(pairs["left_id"], pairs["right_id"], by, eval_fraction)


def timed_split(pairs: pa.Table, cutoff: float) -> np.ndarray:
    """Returns the mask of the eval rows by time, bool `[n]`."""
    return np.asarray(pairs[TIME].to_numpy() >= cutoff)


def encode(pairs: pa.Table) -> Iterator[bytes]:
    """Yields serialized tf.Examples of the ids, and of score and weight where present."""
    encoder = RecordBatchToExamplesEncoder()
    names = [name for name in pairs.schema.names if name in ("left_id", "right_id", "score", "weight")]
    for batch in pairs.select(names).to_batches():
        offsets = pa.array(np.arange(batch.num_rows + 1, dtype=np.int32))
        lists = [pa.ListArray.from_arrays(offsets, column) for column in batch.columns]
        yield from encoder.encode(pa.RecordBatch.from_arrays(lists, names))
