"""Spills good rows to disk by a hash of their pair, so that each part holds complete pairs.

A spill file is an Arrow file of one chunk. It contains `parts` record batches for every block of the chunk, in the
order of their numbers, including empty ones: part p is batches p, p + parts, p + 2 * parts, ...
"""

from __future__ import annotations

import contextlib
from types import TracebackType

import numpy as np
import pyarrow as pa

from components.pair_example_gen import files
from components.pair_example_gen.rows import RowPositions
from components.pair_example_gen.split import pair_keys

# Keeps a part and its intermediate results well below a gigabyte.
PART_BYTES = 32 << 20
_MOST_PARTS = 2048
_EXPANSION = 6  # estimated ratio for gzip and Parquet
_HASH_MASK = np.uint64(0x7FF)

# The position of a row, for messages. Present only where duplicates are refused.
ORIGIN = [("file", pa.int32()), ("line", pa.int64()), ("row_group", pa.int32()), ("row", pa.int64())]


def count_parts(sizes: list[tuple[int, bool]], part_bytes: int = PART_BYTES) -> int:
    """Returns the number of parts for files of the given (bytes, whether compressed)."""
    total = sum(size * (_EXPANSION if compressed else 1) for size, compressed in sizes)
    return int(min(max(-(-total // part_bytes), 1), _MOST_PARTS))


def with_origin(pairs: pa.Table, number: int, positions: RowPositions) -> pa.Table:
    """Returns `pairs` with the columns of ORIGIN for file `number`."""
    line, group, row = positions.as_columns(pairs.num_rows)
    columns = [pa.array(np.full(pairs.num_rows, number, np.int32)), line, group.cast(pa.int32()), row]
    for (name, _), column in zip(ORIGIN, columns, strict=True):
        pairs = pairs.append_column(name, column)
    return pairs


class SpillWriter:
    """Writes the spill file of a chunk. With `unordered`, (a, b) and (b, a) go to the same part."""

    def __init__(self, path: str, schema: pa.Schema, parts: int, unordered: bool = False) -> None:
        self._parts = parts
        self._unordered = unordered
        self._schema = schema
        self._file = contextlib.ExitStack()
        self._writer = self._file.enter_context(pa.ipc.new_file(self._file.enter_context(files.writable(path)), schema))

    def __enter__(self) -> SpillWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.__exit__(kind, error, trace)

    def write(self, pairs: pa.Table) -> None:
        """Writes a block of rows. Each part keeps their order."""
        keys = pair_keys(pairs["left_id"], pairs["right_id"], self._unordered)
        part = ((keys & _HASH_MASK) % np.uint64(self._parts)).astype(np.int64)
        ordered = pairs.take(pa.array(np.argsort(part, kind="stable"))).combine_chunks()
        ends = np.cumsum(np.bincount(part, minlength=self._parts))
        for start, end in zip([0, *ends[:-1].tolist()], ends.tolist(), strict=True):
            batches = ordered.slice(start, end - start).to_batches()
            self._writer.write_batch(batches[0] if batches else _no_rows(self._schema))


def _no_rows(schema: pa.Schema) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays([pa.array([], field.type) for field in schema], schema=schema)


def read_part(paths: list[str], part: int, parts: int) -> pa.Table:
    """Returns all rows of a part, in the order of the files and their rows."""
    batches = []
    for path in paths:
        with files.random_access(path) as source:
            spilled = pa.ipc.open_file(source)
            batches += [spilled.get_batch(number) for number in range(part, spilled.num_record_batches, parts)]
            schema = spilled.schema
    return pa.Table.from_batches(batches, schema).combine_chunks()
