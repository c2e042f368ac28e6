"""Reads adjacency lists: each line is a left id followed by its right ids, with blanks between them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from components.pair_example_gen.reading.compression import Readable
from components.pair_example_gen.reading.dialect import slices, words
from components.pair_example_gen.reading.records import BLOCK_BYTES, FAULTS, Block, read_blocks
from components.pair_example_gen.rows import RAW_BYTES, RawRows, RowPositions, quarantined

NAMES = ("left", "rights")
_BLANK = 32
_ALONE = "no right id after the left id"


def blocks(stream: Readable, line: int = 1, block_bytes: int = BLOCK_BYTES) -> Iterator[Block]:
    """Yields the lines of a stream that begins on `line`."""
    return read_blocks(stream, _BLANK, False, line, block_bytes)


def read_rows(stream: Readable, file: str, line: int) -> Iterator[RawRows]:
    """Yields a row for each right id. The stream begins on `line`."""
    for block in blocks(stream, line):
        yield _rows(file, block)


def _rows(file: str, block: Block) -> RawRows:
    starts, ends = words(block.data)
    record = np.searchsorted(block.starts, starts, side="right") - 1
    first = np.searchsorted(record, np.arange(len(block)))
    lengths = np.bincount(record, minlength=len(block))
    # A line of blanks has no word.
    bad = (block.faults != 0) | (lengths < 2)
    lefts = slices(block.data, starts[first[~bad]], ends[first[~bad]])
    is_right = ~bad[record]
    is_right[first[~bad]] = False
    rights = slices(block.data, starts[is_right], ends[is_right])
    of_good = (np.cumsum(~bad) - 1)[record[is_right]]
    columns = {"left": lefts.take(pa.array(of_good)), "right": rights}

    def raw(rows: np.ndarray) -> pa.Array:
        taken = (columns[side].take(pa.array(rows)).to_pylist() for side in ("left", "right"))
        return pa.array([b" ".join(pair)[:RAW_BYTES] for pair in zip(*taken, strict=True)], pa.binary())

    return RawRows(columns, RowPositions(line=block.lines[record[is_right]]), raw, _broken(file, block, bad))


def _broken(file: str, block: Block, bad: np.ndarray) -> pa.Table:
    rows = np.flatnonzero(bad)
    reasons = [FAULTS[fault] or _ALONE for fault in block.faults[rows].tolist()]
    ends = np.minimum(block.ends[rows], block.starts[rows] + RAW_BYTES)
    raw = slices(block.data, block.starts[rows], ends)
    return quarantined(file, RowPositions(line=block.lines[rows]), reasons, raw)
