"""How a file of delimited text separates and quotes its fields, and where its rows begin."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from components.pair_example_gen.reading.compression import Readable
from components.pair_example_gen.reading.quoting import inside
from components.pair_example_gen.reading.records import BLOCK_BYTES, Block, read_blocks

# The delimiter of files with any number of blanks and tabs between their fields.
WHITESPACE = b""
DELIMITERS = {"tab": b"\t", "whitespace": WHITESPACE}
_NAMES = {WHITESPACE: "whitespace", b"\t": "tab", b",": "comma", b";": "semicolon"}
_BLANK, _TAB, _LF, _CR, _QUOTE = 32, 9, 10, 13, 34


@dataclasses.dataclass(frozen=True)
class Dialect:
    """The dialect of a file.

    Attributes:
      delimiter: one or several bytes, or WHITESPACE.
      quoted: whether fields may be in quotation marks. Needs a delimiter of one byte.
      decimal_comma: whether numbers have a comma where others have a point.
      comment: the beginning of lines that are no rows. Empty if there are none.
    """

    delimiter: bytes
    quoted: bool
    decimal_comma: bool = False
    comment: bytes = b""

    @property
    def name(self) -> str:
        """The delimiter for people."""
        return _NAMES.get(self.delimiter) or repr(self.delimiter.decode(errors="replace"))

    def blocks(self, stream: Readable, line: int = 1, block_bytes: int = BLOCK_BYTES) -> Iterator[Block]:
        """Yields the records of a stream that begins on `line`."""
        byte = self.delimiter[0] if self.delimiter else _BLANK
        return read_blocks(stream, byte, self.quoted, line, block_bytes)

    def fields(self, block: Block) -> Fields:
        """Returns the fields of a block, without those of comments."""
        starts, ends, lines, faults = block.starts, block.ends, block.lines, block.faults
        if self.comment:
            kept = ~_begin_with(block, self.comment)
            starts, ends, lines, faults = starts[kept], ends[kept], lines[kept], faults[kept]
        if self.delimiter == WHITESPACE:
            return Fields(block, self, starts, ends, lines, faults, *words(block.data))
        positions = _positions(block.data, self.delimiter)
        if len(block.opens):
            positions = positions[~inside(positions, block.opens, block.closes)]
        if self.comment:
            positions = _within(positions, starts, ends)
        return Fields(block, self, starts, ends, lines, faults, positions, positions)


def _begin_with(block: Block, text: bytes) -> np.ndarray:
    matches = np.ones(len(block), bool)
    for at, byte in enumerate(text):
        position = np.minimum(block.starts + at, len(block.data) - 1)
        matches &= (block.data[position] == byte) & (block.starts + at < block.ends)
    return matches


def _positions(data: np.ndarray, delimiter: bytes) -> np.ndarray:
    """Returns where the delimiter is, from left to right without overlaps."""
    if len(delimiter) == 1:
        return np.flatnonzero(data == delimiter[0])
    last = len(data) - len(delimiter) + 1
    matches = np.ones(max(last, 0), bool)
    for at, byte in enumerate(delimiter):
        matches &= data[at : at + len(matches)] == byte
    positions = np.flatnonzero(matches)
    if len(positions) < 2 or (np.diff(positions) >= len(delimiter)).all():
        return positions
    kept, end = [], -1
    for position in positions.tolist():
        if position >= end:
            kept.append(position)
            end = position + len(delimiter)
    return np.array(kept, np.int64)


def words(data: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the starts and the ends of the words in the data, which blanks, tabs and line ends separate."""
    within = ~((data == _BLANK) | (data == _TAB) | (data == _LF) | (data == _CR))
    edges = np.diff(np.concatenate([[False], within, [False]]).astype(np.int8))
    return np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)


def _within(positions: np.ndarray, starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Returns the positions inside any of the ranges."""
    if not len(starts):
        return positions[:0]
    record = np.searchsorted(starts, positions, side="right") - 1
    return positions[(record >= 0) & (positions < ends[record])]


@dataclasses.dataclass(frozen=True)
class Fields:
    """The fields of the records of a block.

    Attributes:
      block: the block.
      dialect: its dialect.
      starts: first byte of each record, int64 `[n]`.
      ends: end of each record, int64 `[n]`.
      lines: line number of each record, int64 `[n]`.
      faults: fault of each record, uint8 `[n]`.
      firsts: for WHITESPACE, the first byte of each field. Otherwise the delimiters between fields.
      lasts: for WHITESPACE, the end of each field. Otherwise equal to `firsts`.
    """

    block: Block
    dialect: Dialect
    starts: np.ndarray
    ends: np.ndarray
    lines: np.ndarray
    faults: np.ndarray
    firsts: np.ndarray
    lasts: np.ndarray

    def __len__(self) -> int:
        return len(self.starts)

    @property
    def counts(self) -> np.ndarray:
        """The number of fields of each record, int64 `[n]`."""
        found = np.searchsorted(self.firsts, self.ends) - np.searchsorted(self.firsts, self.starts)
        return found if self._are_words else found + 1

    def are_all(self, width: int) -> bool:
        """Returns whether every record has `width` fields and no fault. Takes a tenth of the time of counting."""
        per_record = width if self._are_words else width - 1
        if self.faults.any() or len(self.firsts) != len(self) * per_record:
            return False
        table = self.firsts.reshape(len(self), per_record)
        return not per_record or bool((table[:, 0] >= self.starts).all() and (table[:, -1] < self.ends).all())

    def take(self, mask: np.ndarray) -> Fields:
        """Returns the records of a mask, bool `[n]`."""
        starts, ends = self.starts[mask], self.ends[mask]
        firsts = _within(self.firsts, starts, ends)
        lasts = self.lasts[np.searchsorted(self.firsts, firsts)]
        return Fields(self.block, self.dialect, starts, ends, self.lines[mask], self.faults[mask], firsts, lasts)

    def column(self, column: int, width: int) -> pa.Array:
        """Returns a column as binary. All records have `width` fields."""
        if self._are_words:
            shape = (len(self), width)
            return slices(self.block.data, self.firsts.reshape(shape)[:, column], self.lasts.reshape(shape)[:, column])
        table = self.firsts.reshape(len(self), width - 1)
        starts = table[:, column - 1] + len(self.dialect.delimiter) if column else self.starts
        ends = table[:, column] if column < width - 1 else self.ends
        return self._text(starts, ends)

    def of_record(self, record: int) -> list[bytes]:
        """Returns the fields of a record."""
        mask = np.zeros(len(self), bool)
        mask[record] = True
        one = self.take(mask)
        width = int(one.counts[0])
        return [one.column(column, width)[0].as_py() for column in range(width)]

    def raw(self, rows: np.ndarray, most_bytes: int) -> pa.Array:
        """Returns the beginning of records as binary."""
        return slices(self.block.data, self.starts[rows], np.minimum(self.ends[rows], self.starts[rows] + most_bytes))

    @property
    def _are_words(self) -> bool:
        return self.dialect.delimiter == WHITESPACE

    def _text(self, starts: np.ndarray, ends: np.ndarray) -> pa.Array:
        """Returns the fields `[starts, ends)` as binary, without their quotation marks."""
        data = self.block.data
        if not self.dialect.quoted or not len(self.block.opens):
            return slices(data, starts, ends)
        in_marks = (ends > starts) & (data[np.minimum(starts, len(data) - 1)] == _QUOTE)
        text = slices(data, starts + in_marks, ends - in_marks)
        return pc.if_else(pa.array(in_marks), pc.replace_substring(text, b'""', b'"'), text)


def slices(data: np.ndarray, starts: np.ndarray, ends: np.ndarray) -> pa.Array:
    """Returns `data[starts[i]:ends[i]]` as binary.

    The ranges ascend. The ranges and the gaps between them form one binary column over the unchanged data, of which the
    function takes every other value.
    """
    if not len(starts):
        return pa.array([], pa.binary())
    offsets = np.empty(2 * len(starts), np.int32)
    offsets[0::2], offsets[1::2] = starts, ends
    pieces = pa.Array.from_buffers(
        pa.binary(), len(offsets) - 1, [None, pa.py_buffer(offsets), pa.py_buffer(np.ascontiguousarray(data))]
    )
    return pieces.take(pa.array(np.arange(0, len(offsets), 2)))
