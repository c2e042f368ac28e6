"""Cuts files into chunks that parallel workers read independently, with exact line numbers."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Callable, Iterator, Sequence

from components.pair_example_gen import files
from components.pair_example_gen.reading import adjacency, delimited, json_lines, parquet
from components.pair_example_gen.reading.beginning import UTF_8, read_beginning, text_stream
from components.pair_example_gen.reading.boundaries import record_ends
from components.pair_example_gen.reading.compression import Readable
from components.pair_example_gen.reading.dialect import Dialect
from components.pair_example_gen.reading.formats import Format, format_of
from components.pair_example_gen.reading.head import Head, read_head
from components.pair_example_gen.reading.records import Block
from components.pair_example_gen.rows import RawRows
from components.pair_example_gen.settings import PairFiles
from components.pair_example_gen.text_files import Column
from errors import InputError

# Several threads share a file of a few megabytes. Chunks of larger files hold more, because each has its own ids.
_LEAST_BYTES, CHUNK_BYTES = 4 << 20, 32 << 20
_CHUNKS = 8


@dataclasses.dataclass(frozen=True)
class Chunk:
    """A part of a file.

    Attributes:
      name: unique name, `<file number>-<chunk number>`.
      file: path or URL.
      format: format of the file.
      columns: column of each role. Numbers in CSV, TSV and adjacency lists, names in the other formats.
      start: first byte (text) or first row group (Parquet). TFRecord files have one chunk.
      end: the byte or row group after the last one. None in text files means the end of the file.
      line: number of the first line, from 1 (text).
      width: number of fields in each row (CSV, TSV).
      dialect: dialect of the file (CSV, TSV).
      encoding: encoding of the file (text). `start` and `end` count bytes of UTF-8.
    """

    name: str
    file: str
    format: Format
    columns: dict[str, Column]
    start: int = 0
    end: int | None = None
    line: int = 1
    width: int = 0
    dialect: Dialect | None = None
    encoding: str = UTF_8

    @property
    def size(self) -> int:
        """The bytes of the chunk, or 0 if they are not known, because the file is compressed or counts row groups."""
        if self.format in ("parquet", "tfrecord") or files.compression_of(self.file) is not None:
            return 0
        return (files.fingerprint(self.file)[0] if self.end is None else self.end) - self.start


def check_head(file: str, layout: PairFiles) -> None:
    """Checks the header of `file`. For TFRecords, checks only that the file exists.

    Raises:
      InputError: the file is unreadable or empty, or lacks a column of `layout`.
    """
    describe(file, layout)


@dataclasses.dataclass(frozen=True)
class Description:
    """A file.

    Attributes:
      names: its columns: numbers without a header, None where each record has its own columns.
      recognized: what was recognized rather than configured.
      head: the head of a text file.
    """

    names: tuple[str, ...] | None
    recognized: tuple[str, ...] = ()
    head: Head | None = None


def describe(file: str, layout: PairFiles) -> Description:
    """Returns the columns of a file, and what was recognized in it.

    Raises:
      InputError: the file is unreadable or empty, or lacks a column of `layout`.
    """
    format_ = format_of(file, layout)
    if format_ == "tfrecord":
        _check_named(file, layout)
        files.compression_of(file)
        return Description(None)
    if format_ == "parquet":
        names = parquet.read_names(file)
        _find_columns(file, layout, names)
        return Description(names)
    head = _read_head(file, format_, layout)
    _find_columns(file, layout, head.names)
    return Description(None if format_ == "jsonl" else head.names, head.recognized, head)


def cut(
    number: int, file: str, layout: PairFiles, chunk_bytes: int | None = None, head: Head | None = None
) -> Iterator[Chunk]:
    """Yields the chunks of file `number`: about `chunk_bytes` each, or the whole file where it cannot be cut.

    Reads the head of a text file, unless `head` is what `describe` has read.
    """
    format_ = format_of(file, layout)
    if format_ == "tfrecord":
        yield Chunk(f"{number:05d}-00000", file, format_, _check_named(file, layout))
    elif format_ == "parquet":
        yield from _cut_parquet(number, file, layout, chunk_bytes or CHUNK_BYTES)
    else:
        with files.readable(file):
            yield from _cut_text(number, file, format_, layout, chunk_bytes, head or _read_head(file, format_, layout))


def read(chunk: Chunk, layout: PairFiles) -> Iterator[RawRows]:
    """Yields the rows of a chunk, a few megabytes at a time.

    Raises:
      InputError: the file is unreadable.
    """
    with files.readable(chunk.file):
        if chunk.format == "tfrecord":
            # TensorFlow takes seconds to import. Only TFRecord files need it.
            from components.pair_example_gen.reading import tfrecord

            yield from tfrecord.read_rows(chunk.file, {role: str(name) for role, name in chunk.columns.items()})
        elif chunk.format == "parquet":
            names = {role: str(name) for role, name in chunk.columns.items()}
            yield from parquet.read_rows(chunk.file, names, range(chunk.start, chunk.end or 0))
        else:
            with text_stream(chunk.file, chunk.encoding, chunk.start) as stream:
                limited = stream if chunk.end is None else _Limited(stream, chunk.end - chunk.start)
                yield from _read_text(limited, chunk)


def _read_text(stream: Readable, chunk: Chunk) -> Iterator[RawRows]:
    if chunk.format == "jsonl":
        names = {role: str(name) for role, name in chunk.columns.items()}
        yield from json_lines.read_rows(stream, chunk.file, names, chunk.line)
    elif chunk.format == "adjacency":
        yield from adjacency.read_rows(stream, chunk.file, chunk.line)
    else:
        assert chunk.dialect
        columns = {role: int(number) for role, number in chunk.columns.items()}
        yield from delimited.read_rows(stream, chunk.file, chunk.dialect, chunk.width, columns, chunk.line)


class _Limited:
    """The next `size` bytes of a stream."""

    def __init__(self, stream: Readable, size: int) -> None:
        self._stream = stream
        self._left = size

    def read(self, size: int, /) -> bytes:
        """Returns at most `size` bytes, and none at the end."""
        data = self._stream.read(min(size, self._left)) if self._left else b""
        self._left -= len(data)
        return data


def _cut_parquet(number: int, file: str, layout: PairFiles, chunk_bytes: int) -> Iterator[Chunk]:
    names = parquet.read_names(file)
    columns: dict[str, Column] = {role: names[at] for role, at in _find_columns(file, layout, names).items()}
    sizes = parquet.row_group_bytes(file)
    start, held, piece = 0, 0, 0
    for group, size in enumerate(sizes):
        held += size
        if held >= chunk_bytes or group + 1 == len(sizes):
            yield Chunk(f"{number:05d}-{piece:05d}", file, "parquet", columns, start, group + 1)
            start, held, piece = group + 1, 0, piece + 1


def _cut_text(
    number: int, file: str, format_: Format, layout: PairFiles, chunk_bytes: int | None, head: Head
) -> Iterator[Chunk]:
    """Cuts plain text between records.

    Reads all preceding text, because only this distinguishes a line end inside quotation marks from a record end.
    """
    columns: dict[str, Column] = (
        layout.columns.roles if format_ == "jsonl" else dict(_find_columns(file, layout, head.names))
    )
    name, width = f"{number:05d}-00000", len(head.names)
    whole = Chunk(name, file, format_, columns, head.start, None, head.line, width, head.dialect, head.encoding)
    size, _ = files.fingerprint(file)
    chunk_bytes = chunk_bytes or min(max(size // _CHUNKS, _LEAST_BYTES), CHUNK_BYTES)
    if size - head.start <= chunk_bytes or head.encoding != UTF_8 or files.compression_of(file):
        yield whole
        return
    start, line, piece = head.start, head.line, 0
    blocks, quoted = _blocks(format_, head.dialect), bool(head.dialect and head.dialect.quoted)
    for end, next_line in record_ends(file, start, line, blocks, quoted, min(chunk_bytes, 8 << 20)):
        if end - start >= chunk_bytes or end == size:
            name = f"{number:05d}-{piece:05d}"
            yield dataclasses.replace(whole, name=name, start=start, end=end, line=line)
            start, line, piece = end, next_line, piece + 1


def _read_head(file: str, format_: Format, layout: PairFiles) -> Head:
    if format_ in ("csv", "tsv"):
        return read_head(file, format_, layout)
    beginning = read_beginning(file, layout.encoding)
    if format_ == "adjacency":
        return Head(adjacency.NAMES, beginning.start, 1, encoding=beginning.encoding)
    _check_named(file, layout)
    block = beginning.first_block(json_lines.blocks)
    assert block
    return Head(json_lines.column_names(file, block), beginning.start, 1, encoding=beginning.encoding)


def _blocks(format_: Format, dialect: Dialect | None) -> Callable[..., Iterator[Block]]:
    if dialect:
        return dialect.blocks
    return json_lines.blocks if format_ == "jsonl" else adjacency.blocks


def _find_columns(file: str, layout: PairFiles, names: Sequence[str]) -> dict[str, int]:
    """Returns the column number of each role of `layout`.

    Raises:
      InputError: a column is missing or duplicate. The message lists the available columns.
    """
    numbers = {}
    for role, column in layout.columns.roles.items():
        if isinstance(column, int):
            if column >= len(names):
                raise InputError(
                    f"data.columns.{role}: {file} has no column {column}. It has {len(names)} columns, numbered from 0"
                    f"{_shown(names)[1]}"
                )
            numbers[role] = column
            continue
        if list(names).count(column) != 1:
            fault = "no column" if column not in names else "more than one column"
            shown, advice = _shown(names)
            raise InputError(
                f"data.columns.{role}: {file} has {fault} {column!r}. {_similar(column, shown)}"
                f"Its columns are {', '.join(map(repr, shown))}{advice}"
            )
        numbers[role] = list(names).index(column)
    return numbers


def _similar(column: str, names: Sequence[str]) -> str:
    """Returns a question about the column with a similar name, and no text if there is none."""
    close = () if column in names else difflib.get_close_matches(column.lower(), [name.lower() for name in names], 1)
    return "".join(f"Did you mean {name!r}? " for name in names if name.lower() in close)


def _shown(names: Sequence[str]) -> tuple[Sequence[str], str]:
    """Returns the columns of a file that lacks a column, and which key may be wrong.

    A delimiter is recognized by the columns of the pipeline file. If these are wrong, the only column is likely to be
    several.
    """
    if any("\ufffd" in name for name in names):
        return names, ". They are not UTF-8: set data.encoding, for example to cp1252"
    if len(names) != 1:
        return names, ""
    for delimiter in (";", "\t", "|", ","):
        if delimiter in names[0]:
            return names[0].split(delimiter), f", if {delimiter!r} separates them. If not, set data.delimiter"
    return names, ". If another text separates the fields, set data.delimiter"


def _check_named(file: str, layout: PairFiles) -> dict[str, Column]:
    """Returns the columns of `layout`, which must be names."""
    for role, column in layout.columns.roles.items():
        if isinstance(column, int):
            raise InputError(f"data.columns.{role}: {file}: columns of this format have names, not numbers")
    return layout.columns.roles
