"""Finds records in quoted text: by parity if all quotation marks are well placed, otherwise one record at a time."""

from __future__ import annotations

import dataclasses

import numpy as np

QUOTE_JUNK, UNCLOSED = 2, 3  # indices into records.FAULTS
_QUOTE, _CR, _LF = 34, 13, 10
_NOTHING = np.zeros(0, np.int64)


@dataclasses.dataclass(frozen=True)
class Quoted:
    """Records `[starts, ends)` without their line ends, and the quotation marks around quoted fields.

    Attributes:
      starts: first byte of each record, int64 `[n]`.
      ends: end of each record, int64 `[n]`.
      faults: index into `records.FAULTS` for each record, uint8 `[n]`. None means no faults.
      opens: opening marks of quoted fields, int64 `[m]`.
      closes: closing marks of quoted fields, int64 `[m]`.
      used: number of bytes with final results. The rest needs more data.
      skip_line: no record is final, and the line is too long to wait for its end.
    """

    starts: np.ndarray
    ends: np.ndarray
    faults: np.ndarray | None = None
    opens: np.ndarray = dataclasses.field(default_factory=lambda: _NOTHING)
    closes: np.ndarray = dataclasses.field(default_factory=lambda: _NOTHING)
    used: int = 0
    skip_line: bool = False

    def is_inside(self, positions: np.ndarray) -> np.ndarray:
        """Returns which positions are inside a quoted field, bool `[n]`."""
        return inside(positions, self.opens, self.closes)


def inside(positions: np.ndarray, opens: np.ndarray, closes: np.ndarray) -> np.ndarray:
    """Returns which positions are between an opening mark and its closing mark, bool `[n]`."""
    if not len(opens):
        return np.zeros(len(positions), bool)
    field = np.searchsorted(opens, positions) - 1
    return (field >= 0) & (positions < closes[field])


def find_records_by_parity(data: bytes, delimiter: int, final: bool, max_record: int) -> Quoted | None:
    """Treats every second quotation mark as a closing one. Returns None unless the data proves this right."""
    array = np.frombuffer(data, np.uint8)
    marks = np.flatnonzero(array == _QUOTE)
    newlines = np.flatnonzero(array == _LF)
    ends = newlines[np.searchsorted(marks, newlines) % 2 == 0]
    if final and (not len(ends) or ends[-1] + 1 < len(data)):
        if len(marks) % 2:
            return None
        ends = np.append(ends, len(data))
    if not len(ends):
        return None if len(data) > max_record else Quoted(_NOTHING, _NOTHING)
    starts = np.concatenate([[0], ends[:-1] + 1])
    used = len(data) if final else int(ends[-1]) + 1
    marks = marks[: np.searchsorted(marks, used)]
    if not _in_place(array[:used], marks, delimiter) or (ends - starts).max() > max_record:
        return None
    opens, closes = marks[0::2], marks[1::2]
    alone = opens[1:] != closes[:-1] + 1
    opens, closes = opens[np.append(True, alone)[: len(opens)]], closes[np.append(alone, True)[: len(closes)]]
    return Quoted(starts, ends, opens=opens, closes=closes, used=used)


def _in_place(array: np.ndarray, marks: np.ndarray, delimiter: int) -> bool:
    """Checks that opening marks begin a field or follow a closing one, and closing marks end a field or are doubled."""
    if len(marks) % 2:
        return False
    if not len(marks):
        return True
    opens, closes = marks[0::2], marks[1::2]
    before = np.where(opens > 0, array[opens - 1], _LF)
    doubled = np.append(False, opens[1:] == closes[:-1] + 1)
    if not (doubled | (before == delimiter) | (before == _LF)).all():
        return False
    padded = np.append(array, [_LF, _LF]).astype(np.uint8)
    after, second = padded[closes + 1], padded[closes + 2]
    # At the end of the data, a lone carriage return does not end a line.
    ends_line = (after == _LF) | ((after == _CR) & (second == _LF) & (closes + 2 < len(array)))
    return bool((np.append(doubled[1:], False) | (after == delimiter) | ends_line).all())


def find_quoted_records(data: bytes, delimiter: int, final: bool, max_record: int) -> Quoted:
    """Walks over the lines with a quotation mark one by one, and takes lines without one together."""
    return _Walk(data, bytes([delimiter]), final, max_record).run()


class _Walk:
    """A walk over the records of `data`, and its results so far."""

    def __init__(self, data: bytes, delimiter: bytes, final: bool, max_record: int) -> None:
        self._data = data
        self._delimiter = delimiter
        self._final = final
        self._max_record = max_record
        self._newlines = np.flatnonzero(np.frombuffer(data, np.uint8) == _LF)
        self._starts: list[np.ndarray] = []
        self._ends: list[np.ndarray] = []
        self._faults: list[np.ndarray] = []
        self._opens: list[int] = []
        self._closes: list[int] = []

    def run(self) -> Quoted:
        """Walks to the end of the data, or to the first record that needs more data."""
        data, position, skip = self._data, 0, False
        mark = -1
        while position < len(data):
            if mark < position:
                mark = data.find(b'"', position)
                mark = len(data) if mark < 0 else mark
            following = self._plain_lines(position, mark)
            if following == position:
                following = self._quoted_record(position)
            if following < 0:
                skip = position == 0 and self._is_overlong(position) and data.find(b"\n") < 0
                break
            position = following
        return Quoted(
            starts=np.concatenate([_NOTHING, *self._starts]),
            ends=np.concatenate([_NOTHING, *self._ends]),
            faults=np.concatenate([np.zeros(0, np.uint8), *self._faults]),
            opens=np.array(self._opens, np.int64),
            closes=np.array(self._closes, np.int64),
            used=min(position, len(data)),
            skip_line=skip,
        )

    def _plain_lines(self, position: int, mark: int) -> int:
        """Adds the lines that end before the next mark. Returns the start of the line after them."""
        first, last = np.searchsorted(self._newlines, [position, mark])
        if first == last:
            return position
        ends = self._newlines[first:last]
        self._add(np.concatenate([[position], ends[:-1] + 1]), ends, 0)
        return int(ends[-1]) + 1

    def _quoted_record(self, start: int) -> int:
        """Adds the record at `start`. Returns the start of the next record, or -1 if it needs more data."""
        spans: list[tuple[int, int]] = []
        end, fault = self._end_of_record(start, spans)
        if end < 0 and not fault and not self._is_overlong(start):
            return -1
        several_lines = self._data.find(b"\n", start, max(end, start)) >= 0
        if fault or end < 0 or (end - start > self._max_record and several_lines):
            spans = []
            first_line = self._data.find(b"\n", start)
            end = first_line if first_line >= 0 else len(self._data) if self._final else -1
            fault = fault or UNCLOSED
            if end < 0:
                return -1
        self._opens += [span[0] for span in spans]
        self._closes += [span[1] for span in spans]
        self._add(np.array([start]), np.array([end]), 0 if end - start > self._max_record else fault)
        return end + 1

    def _is_overlong(self, start: int) -> bool:
        return len(self._data) - start > self._max_record

    def _end_of_record(self, start: int, spans: list[tuple[int, int]]) -> tuple[int, int]:
        """Returns the end of the record and its fault. The end is -1 if the data is too short."""
        data, position = self._data, start
        while True:
            if data[position : position + 1] != b'"':
                line_end = data.find(b"\n", position)
                field_end = data.find(self._delimiter, position, line_end if line_end >= 0 else len(data))
                if field_end < 0:
                    return (line_end if line_end >= 0 else len(data) if self._final else -1), 0
                position = field_end + 1
                continue
            close = self._closing(position + 1, start + self._max_record)
            if close < 0:
                known = self._final or self._is_overlong(start)
                return (-1, UNCLOSED) if known else (-1, 0)
            ending = data[close + 1 : close + 3]
            if not self._final and len(ending) < 2 and ending in (b"", b"\r"):
                return -1, 0
            spans.append((position, close))
            if ending[:1] == self._delimiter:
                position = close + 2
            elif ending[:1] in (b"\n", b"") or ending == b"\r\n":
                return close + 1 + (ending == b"\r\n"), 0
            else:
                return close, UNCLOSED if data.find(b"\n", start, close) >= 0 else QUOTE_JUNK

    def _closing(self, position: int, limit: int) -> int:
        """Returns the mark that closes the field with text at `position`, or -1 if there is none before `limit`."""
        while True:
            mark = self._data.find(b'"', position, limit)
            if mark < 0 or self._data[mark + 1 : mark + 2] != b'"':
                return mark
            position = mark + 2

    def _add(self, starts: np.ndarray, ends: np.ndarray, fault: int) -> None:
        self._starts.append(starts)
        self._ends.append(ends)
        self._faults.append(np.full(len(starts), fault, np.uint8))
