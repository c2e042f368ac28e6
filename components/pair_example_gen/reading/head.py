"""Reads the head of a text file: dialect, columns, and where its rows begin. Recognizes what is not configured."""

from __future__ import annotations

import dataclasses
import re
from collections import Counter
from collections.abc import Iterator

from components.pair_example_gen.reading import recognition
from components.pair_example_gen.reading.beginning import UTF_8, Beginning, read_beginning
from components.pair_example_gen.reading.dialect import DELIMITERS, WHITESPACE, Dialect, Fields
from components.pair_example_gen.reading.formats import Format
from components.pair_example_gen.reading.records import FAULTS, Block
from components.pair_example_gen.settings import PairFiles
from errors import InputError

_SAMPLE_BYTES = 64 << 10
_COUNTED_RECORDS = 1000
_OTHERS = (b"\t", b"::", b",", b";", b"|", b" ", WHITESPACE)
_CLEAR = 0.95  # of the records have the same number of fields
_LEADING = re.compile(rb"(?:[#%][^\n]*\n)+")
_MARK = re.compile(rb"[#%]+[ \t]*")


@dataclasses.dataclass(frozen=True)
class Head:
    """The head of a text file.

    Attributes:
      names: columns. Numbers where the columns are configured by number.
      start: byte where the rows begin, in UTF-8.
      line: line where the rows begin, from 1.
      dialect: dialect of delimited text.
      encoding: encoding of the file.
      recognized: what was recognized rather than configured.
    """

    names: tuple[str, ...]
    start: int
    line: int
    dialect: Dialect | None = None
    encoding: str = UTF_8
    recognized: tuple[str, ...] = ()


def read_head(file: str, format_: Format, layout: PairFiles) -> Head:
    """Reads the first rows of a CSV or TSV file.

    Without a header, the number of columns is the most common one among the first rows.

    Raises:
      InputError: the file is unreadable, empty, in another encoding or of another format, or what it has is ambiguous.
    """
    beginning = read_beginning(file, layout.encoding)
    recognition.refuse_json(file, beginning.data)
    start, skipped, dialect = _choose(beginning.data, format_, layout)
    if dialect is None:
        recognition.refuse_adjacency(file, beginning.data)
        dialect = next(_candidates(format_, layout, beginning.data))
    rest = dataclasses.replace(beginning, data=beginning.data[start:], start=beginning.start + start)
    block = rest.first_block(dialect.blocks)
    if block is None:
        raise InputError(f"data.path: {file}: there are no rows after the header")
    fields = dialect.fields(block)
    names, rows, line = _columns(file, fields, layout)
    found = list(_notes(beginning, skipped, dialect, format_, layout))
    if rows and not layout.columns.has_header and layout.header == "auto":
        text = bytes(block.data[block.starts[0] : block.ends[0]][:80]).decode(errors="replace")
        found.append(f"header {text!r}, which is skipped")
    if recognition.has_decimal_comma(file, fields, _numbers_of(names, layout), layout.decimal):
        dialect = dataclasses.replace(dialect, decimal_comma=True)
        found += ["decimal comma"] if layout.decimal == "auto" else []
    return Head(names, rest.start + rows, line + skipped, dialect, beginning.encoding, tuple(found))


def _notes(beginning: Beginning, skipped: int, dialect: Dialect, format_: Format, layout: PairFiles) -> Iterator[str]:
    if beginning.encoding != UTF_8 and layout.encoding == "auto":
        yield f"encoding {beginning.encoding}"
    if layout.delimiter == "auto" and dialect.delimiter != _default(format_):
        yield f"delimiter {dialect.name}"
    if dialect.quoted and layout.quoting == "auto" and _is_plain_by_default(dialect):
        yield "quotation marks around the fields, which are removed"
    if skipped:
        yield f"{skipped:,} lines of comments, which are skipped"


def _default(format_: Format) -> bytes:
    return b"," if format_ == "csv" else b"\t"


def _is_plain_by_default(dialect: Dialect) -> bool:
    """Returns whether `quoting: auto` takes quotation marks as text, unless they wrap whole columns."""
    return dialect.delimiter in (b"\t", b" ")


def _choose(data: bytes, format_: Format, layout: PairFiles) -> tuple[int, int, Dialect | None]:
    """Returns where header or rows begin, the number of lines before, and the dialect, or None if none fits."""
    starts = list(_starts(data, layout))
    for start, skipped in starts:
        sample = _sample(data[start:])
        fitting = _fitting(_candidates(format_, layout, sample), sample, layout, format_)
        if first := next(fitting, None):
            return start, skipped, _best(first, fitting, sample, layout)
    return *starts[-1], None


def _starts(data: bytes, layout: PairFiles) -> Iterator[tuple[int, int]]:
    """Yields (byte, line from 0) where header or rows may begin: after comments, and for names also in them."""
    leading = _LEADING.match(data) if not layout.comment else None
    mark = data[:1]
    if leading and _sample(data[leading.end() :]).find(b"\n" + mark) < 0 and data[leading.end() :].strip(b"\r\n"):
        lines = leading[0].count(b"\n")
        if layout.columns.has_header:
            yield 0, 0
            last = leading[0].rfind(b"\n", 0, -1) + 1
            marked = _MARK.match(leading[0], last)
            yield (marked.end() if marked else last), lines - 1
        yield leading.end(), lines
        return
    yield 0, 0


def _sample(data: bytes) -> bytes:
    """Returns the first whole lines."""
    if len(data) <= _SAMPLE_BYTES:
        return data
    return data[: data.rfind(b"\n", 0, _SAMPLE_BYTES) + 1] or data


def _candidates(format_: Format, layout: PairFiles, sample: bytes) -> Iterator[Dialect]:
    if layout.delimiter != "auto":
        delimiters = [DELIMITERS.get(layout.delimiter, layout.delimiter.encode())]
    elif layout.format == "tsv":
        delimiters = [b"\t"]
    else:
        delimiters = list(dict.fromkeys([_default(format_), *_OTHERS]))
    return (_dialect(delimiter, layout, sample) for delimiter in delimiters)


def _dialect(delimiter: bytes, layout: PairFiles, sample: bytes) -> Dialect:
    comment = (layout.comment or "").encode()
    dialect = Dialect(delimiter, False, comment=comment)
    if len(delimiter) != 1 or layout.quoting == "none":
        return dialect
    quoted = layout.quoting == "double" or not _is_plain_by_default(dialect) or recognition.is_wrapped(dialect, sample)
    return dataclasses.replace(dialect, quoted=quoted)


def _fitting(candidates: Iterator[Dialect], sample: bytes, layout: PairFiles, format_: Format) -> Iterator[Dialect]:
    return (dialect for dialect in candidates if _fits(dialect, sample, layout, format_))


def _first_fields(dialect: Dialect, sample: bytes) -> Fields | None:
    block = Beginning(sample, 0, UTF_8).first_block(dialect.blocks)
    return None if block is None else dialect.fields(block)


def _fits(dialect: Dialect, sample: bytes, layout: PairFiles, format_: Format) -> bool:
    """Returns whether a dialect gives the configured columns."""
    if dialect.delimiter == b" " and not dialect.quoted and layout.delimiter == "auto":
        return False  # blanks between words are WHITESPACE
    fields = _first_fields(dialect, sample)
    if fields is None or not len(fields):
        return False
    if layout.columns.has_header:
        names = [] if fields.faults[0] else _decoded(fields.of_record(0))
        return all(names.count(str(column)) == 1 for column in layout.columns.roles.values())
    width, share = _width(fields)
    most = max(int(column) for column in layout.columns.roles.values())
    return width > most and (dialect.delimiter == _default(format_) or share >= _CLEAR)


def _best(first: Dialect, others: Iterator[Dialect], sample: bytes, layout: PairFiles) -> Dialect:
    """Returns the first that fits, unless it is the comma and another one fits all records and explains every comma.

    In a header without commas, those of the rows are in the values, such as `Matrix, The` in a file with semicolons.
    """
    if layout.columns.has_header or first.delimiter != b",":
        return first
    by_commas = _first_fields(first, sample)
    has_odd_header = by_commas is not None and by_commas.counts[0] != _width(by_commas)[0]
    for other in others:
        fields = _first_fields(other, sample)
        if other.delimiter in (WHITESPACE, b" ") or fields is None or _width(fields)[1] < 1:
            continue
        if has_odd_header or other.delimiter == b"\t" or recognition.only_decimal_commas(fields, _width(fields)[0]):
            return other
    return first


def _width(fields: Fields) -> tuple[int, float]:
    """Returns the most common number of fields, and the share of the first records that have it."""
    counts = fields.counts[fields.faults == 0][:_COUNTED_RECORDS].tolist()
    if not counts:
        return 1, 0.0
    ((width, count),) = Counter(counts).most_common(1)
    return width, count / len(counts)


def _columns(file: str, fields: Fields, layout: PairFiles) -> tuple[tuple[str, ...], int, int]:
    """Returns the columns, and the byte and the line where the rows begin."""
    if not layout.columns.has_header:
        width, _ = _width(fields)
        names = tuple(map(str, range(width)))
        columns = {role: int(column) for role, column in layout.columns.roles.items()}
        has_header = layout.header is True or (
            layout.header == "auto" and recognition.has_header(file, fields, width, columns)
        )
        return (names, *_after_first(fields)) if has_header else (names, 0, 1)
    if not len(fields) or fields.faults[0]:
        fault = FAULTS[fields.faults[0]] if len(fields) else "there is none"
        raise InputError(f"data.path: {file}: the header cannot be read: {fault}")
    return (tuple(_decoded(fields.of_record(0))), *_after_first(fields))


def _after_first(fields: Fields) -> tuple[int, int]:
    """Returns the byte and the line after the first record."""
    block: Block = fields.block
    start, end = int(fields.starts[0]), int(fields.ends[0])
    line_end = bytes(block.data[end:][:2])
    after = end + (2 if line_end == b"\r\n" else 1)
    if fields.dialect.delimiter == WHITESPACE or line_end[:1] not in (b"\r", b"\n", b""):
        after = end + bytes(block.data[end:]).find(b"\n") + 1
    return after, int(fields.lines[0]) + bytes(block.data[start:end]).count(b"\n") + 1


def _decoded(names: list[bytes]) -> list[str]:
    return [name.decode(errors="replace") for name in names]


def _numbers_of(names: tuple[str, ...], layout: PairFiles) -> list[int]:
    """Returns the columns of numbers that the file has."""
    roles = layout.columns.roles
    wanted = [roles[role] for role in ("score", "weight") if role in roles]
    return [names.index(str(column)) for column in wanted if names.count(str(column)) == 1]
