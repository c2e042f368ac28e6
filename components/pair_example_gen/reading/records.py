"""Finds the records of delimited text, one block at a time.

A line is a record, except that a quoted field may contain line ends. A quotation mark has a meaning only at the start
of a field and where such a field ends. Elsewhere it is an ordinary character. Two rules limit the damage of a missing
quotation mark to one line, and make every record boundary a valid place to start reading:

- A quoted field must end, with a delimiter or a line end after its closing mark, before the record is MAX_RECORD_BYTES
  long. Otherwise only its first line is bad, and reading continues with the next line.
- A line longer than MAX_RECORD_BYTES is bad and never held in memory as a whole.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np

from components.pair_example_gen.reading.compression import Readable
from components.pair_example_gen.reading.quoting import Quoted, find_quoted_records, find_records_by_parity

MAX_RECORD_BYTES = 1 << 20
BLOCK_BYTES = 8 << 20

# Faults of a record. `Block.faults` holds their indices.
FAULTS = (
    "",
    f"line is longer than {MAX_RECORD_BYTES:,} bytes",
    "text after the closing quotation mark of a field",
    "quoted field does not end",
    "carriage return that does not end a line",
)
TOO_LONG, STRAY_CR = 1, 4

_CR, _LF = 13, 10


@dataclasses.dataclass(frozen=True)
class Block:
    """Complete records of a file.

    Record i is `data[starts[i]:ends[i]]` without its line end. Empty lines are not records.

    Attributes:
      data: bytes of the block, uint8.
      starts: first byte of each record, int64 `[n]`.
      ends: end of each record, int64 `[n]`.
      lines: line number of each record, from 1, int64 `[n]`.
      faults: index into FAULTS for each record, uint8 `[n]`.
      opens: opening marks of quoted fields, int64 `[m]`.
      closes: closing marks of quoted fields, int64 `[m]`.
      used: bytes of the file up to the end of the block.
      next_line: number of the line after the block.
    """

    data: np.ndarray
    starts: np.ndarray
    ends: np.ndarray
    lines: np.ndarray
    faults: np.ndarray
    opens: np.ndarray
    closes: np.ndarray
    used: int
    next_line: int

    def __len__(self) -> int:
        return len(self.starts)


def read_blocks(
    stream: Readable,
    delimiter: int,
    quoted: bool,
    first_line: int = 1,
    block_bytes: int = BLOCK_BYTES,
    max_record: int = MAX_RECORD_BYTES,
) -> Iterator[Block]:
    """Yields the records of `stream`, which begins at the start of a record on line `first_line`."""
    held, line, used = b"", first_line, 0
    while True:
        fresh = stream.read(block_bytes)
        data, final = held + fresh, not fresh
        if not data:
            return
        bounds = _find(data, delimiter, quoted, final, max_record)
        if bounds.skip_line:
            block, rest = _overlong(data, line, used, max_record), _skip_line(data, stream, block_bytes)
            used += len(data) + rest.skipped
            held, line = rest.held, line + 1
            used -= len(held)
            yield dataclasses.replace(block, used=used, next_line=line)
        else:
            newlines = np.flatnonzero(np.frombuffer(data, np.uint8, bounds.used) == _LF)
            used, held = used + bounds.used, data[bounds.used :]
            block = _block(data, bounds, newlines, line, used, max_record)
            line = block.next_line
            if bounds.used:
                yield block
        if final and not held:
            return


def _find(data: bytes, delimiter: int, quoted: bool, final: bool, max_record: int) -> Quoted:
    """Finds record boundaries: by line without quotation marks, by parity if all marks are well placed."""
    if not quoted or data.find(b'"') < 0:
        return _find_lines(data, final, max_record)
    bounds = find_records_by_parity(data, delimiter, final, max_record)
    return bounds or find_quoted_records(data, delimiter, final, max_record)


def _find_lines(data: bytes, final: bool, max_record: int) -> Quoted:
    ends = np.flatnonzero(np.frombuffer(data, np.uint8) == _LF)
    used = len(data) if final else int(ends[-1]) + 1 if len(ends) else 0
    if final and (not len(ends) or ends[-1] + 1 < len(data)):
        ends = np.append(ends, len(data))
    starts = np.concatenate([[0], ends[:-1] + 1]) if len(ends) else ends
    skip = not final and not used and len(data) > max_record
    return Quoted(starts, ends, used=used, skip_line=skip)


def _block(data: bytes, bounds: Quoted, newlines: np.ndarray, line: int, used: int, max_record: int) -> Block:
    """Drops line ends and empty lines, numbers the lines, and marks misplaced carriage returns."""
    starts, ends = bounds.starts, bounds.ends
    array = np.frombuffer(data, np.uint8, bounds.used)
    faults = np.zeros(len(starts), np.uint8) if bounds.faults is None else bounds.faults
    faults = np.where((ends - starts > max_record) & (faults == 0), TOO_LONG, faults).astype(np.uint8)
    if data.find(b"\r") >= 0 and len(starts):
        returns = np.flatnonzero(array == _CR)
        ends_line = _followed_by_lf(array, returns)
        ends = ends - np.isin(ends - 1, returns[ends_line])
        stray = returns[~ends_line & ~bounds.is_inside(returns)]
        record = np.searchsorted(starts, stray, side="right") - 1
        faults[record[faults[record] == 0]] = STRAY_CR
    lines = line + np.searchsorted(newlines, starts)
    kept = ends > starts
    if not kept.all():
        starts, ends, lines, faults = starts[kept], ends[kept], lines[kept], faults[kept]
    return Block(array, starts, ends, lines, faults, bounds.opens, bounds.closes, used, line + len(newlines))


def _followed_by_lf(array: np.ndarray, positions: np.ndarray) -> np.ndarray:
    following = np.minimum(positions + 1, len(array) - 1)
    return array[following] == _LF


def _overlong(data: bytes, line: int, used: int, max_record: int) -> Block:
    """Returns a block of one bad record: the beginning of a line that is too long to hold."""
    array = np.frombuffer(data, np.uint8, max_record)
    one = np.zeros(1, np.int64)
    nothing = np.zeros(0, np.int64)
    return Block(
        array, one, one + max_record, one + line, np.full(1, TOO_LONG, np.uint8), nothing, nothing, used, line + 1
    )


@dataclasses.dataclass(frozen=True)
class _Rest:
    """The data after a skipped line, and the number of bytes read beyond the block."""

    held: bytes
    skipped: int


def _skip_line(data: bytes, stream: Readable, block_bytes: int) -> _Rest:
    """Reads to the end of the first line of `data`."""
    skipped = 0
    while (end := data.find(b"\n")) < 0:
        data = stream.read(block_bytes)
        skipped += len(data)
        if not data:
            return _Rest(b"", skipped)
    return _Rest(data[end + 1 :], skipped)
