"""Files cut into pieces of work that parallel workers can share, each read by itself with exact line numbers."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

import pyarrow as pa

from components.pair_example_gen import delimited, files, parquet
from components.pair_example_gen.delimited import Dialect
from components.pair_example_gen.rows import RawRows
from components.pair_example_gen.source import Column, Format, Layout, format_of
from errors import InputError

CHUNK_BYTES = 32 << 20


@dataclasses.dataclass(frozen=True)
class Chunk:
    """A piece of a file.

    Of CSV and TSV the bytes `[start, end)` (to the end of the file where `end` is None), which begin on `line`; of
    Parquet the row groups `[start, end)`; of TFRecords all. `columns` by what they are: numbers in CSV and TSV, where
    each row has `width` of them, else names.
    """

    name: str
    file: str
    format: Format
    columns: dict[str, Column]
    start: int = 0
    end: int | None = None
    line: int = 1
    width: int = 0


def check_head(file: str, layout: Layout) -> None:
    """Looks at the head of `file` only; of TFRecords at nothing but whether it is there.

    Raises:
      InputError: the file cannot be read, is empty, or lacks a column of `layout`.
    """
    column_names(file, layout)


def column_names(file: str, layout: Layout) -> tuple[str, ...] | None:
    """The columns of a file, numbers where it has no header; None for TFRecords, which have no common ones.

    Raises:
      InputError: the file cannot be read, is empty, or lacks a column of `layout`.
    """
    format_ = format_of(file, layout)
    if format_ == "tfrecord":
        _check_named(file, layout)
        files.is_gzip(file)
        return None
    if format_ == "parquet":
        names = parquet.read_names(file)
    else:
        names = delimited.read_head(file, Dialect.of(format_, layout), layout.has_header).names
    _find_columns(file, layout, names)
    return names


def cut(number: int, file: str, layout: Layout, chunk_bytes: int | None = None) -> Iterator[Chunk]:
    """The pieces of file number `number`: of about `chunk_bytes`, or the whole of it where it cannot be cut."""
    chunk_bytes = chunk_bytes or CHUNK_BYTES
    format_ = format_of(file, layout)
    if format_ == "tfrecord":
        yield Chunk(f"{number:05d}-00000", file, format_, _check_named(file, layout))
    elif format_ == "parquet":
        yield from _cut_parquet(number, file, layout, chunk_bytes)
    else:
        with files.readable(file):
            yield from _cut_text(number, file, format_, layout, chunk_bytes)


def read(chunk: Chunk, layout: Layout) -> Iterator[RawRows]:
    """The rows of a chunk, some megabytes at a time.

    Raises:
      InputError: the file cannot be read.
    """
    with files.readable(chunk.file):
        if chunk.format == "tfrecord":
            # TensorFlow takes seconds to import: only those who need it pay.
            from components.pair_example_gen import tfrecord

            yield from tfrecord.read_rows(chunk.file, {role: str(name) for role, name in chunk.columns.items()})
        elif chunk.format == "parquet":
            names = {role: str(name) for role, name in chunk.columns.items()}
            yield from parquet.read_rows(chunk.file, names, range(chunk.start, chunk.end or 0))
        else:
            with files.byte_stream(chunk.file, chunk.start) as stream:
                limited = stream if chunk.end is None else _Limited(stream, chunk.end - chunk.start)
                columns = {role: int(number) for role, number in chunk.columns.items()}
                dialect = Dialect.of(chunk.format, layout)
                yield from delimited.read_rows(limited, chunk.file, dialect, chunk.width, columns, chunk.line)


class _Limited:
    """The next `size` bytes of a stream."""

    def __init__(self, stream: pa.NativeFile, size: int) -> None:
        self._stream = stream
        self._left = size

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes; none at the end."""
        data: bytes = self._stream.read(min(size, self._left)) if self._left else b""
        self._left -= len(data)
        return data


def _cut_parquet(number: int, file: str, layout: Layout, chunk_bytes: int) -> Iterator[Chunk]:
    names = parquet.read_names(file)
    columns: dict[str, Column] = {role: names[at] for role, at in _find_columns(file, layout, names).items()}
    sizes = parquet.row_group_bytes(file)
    start, held, piece = 0, 0, 0
    for group, size in enumerate(sizes):
        held += size
        if held >= chunk_bytes or group + 1 == len(sizes):
            yield Chunk(f"{number:05d}-{piece:05d}", file, "parquet", columns, start, group + 1)
            start, held, piece = group + 1, 0, piece + 1


def _cut_text(number: int, file: str, format_: Format, layout: Layout, chunk_bytes: int) -> Iterator[Chunk]:
    """Cuts plain text between records.

    Where records end is found by reading all that is before, which takes a small part of the time of the real work:
    only so can a line end within quotation marks be told from another.
    """
    dialect = Dialect.of(format_, layout)
    head = delimited.read_head(file, dialect, layout.has_header)
    columns: dict[str, Column] = dict(_find_columns(file, layout, head.names))
    whole = Chunk(f"{number:05d}-00000", file, format_, columns, head.start, None, head.line, len(head.names))
    size, _ = files.fingerprint(file)
    if size - head.start <= chunk_bytes or files.is_gzip(file):
        yield whole
        return
    start, line, piece = head.start, head.line, 0
    with files.byte_stream(file, head.start) as stream:
        for block in dialect.blocks(stream, head.line, min(chunk_bytes, 8 << 20)):
            end = head.start + block.used
            if end - start >= chunk_bytes or end == size:
                name = f"{number:05d}-{piece:05d}"
                yield dataclasses.replace(whole, name=name, start=start, end=end, line=line)
                start, line, piece = end, block.next_line, piece + 1


def _find_columns(file: str, layout: Layout, names: Sequence[str]) -> dict[str, int]:
    """The numbers of the columns of `layout`.

    Raises:
      InputError: one is not there, or twice; says which ones are.
    """
    found = {}
    for role, column in layout.columns.items():
        if isinstance(column, int):
            if column >= len(names):
                raise InputError(
                    f"data.columns.{role}: {file} has no column {column}; it has {len(names)}, numbered from 0"
                )
            found[role] = column
            continue
        if list(names).count(column) != 1:
            fault = "no column" if column not in names else "more than one column"
            raise InputError(
                f"data.columns.{role}: {file} has {fault} {column!r}; its columns are {', '.join(map(repr, names))}"
            )
        found[role] = list(names).index(column)
    return found


def _check_named(file: str, layout: Layout) -> dict[str, Column]:
    """The columns of `layout`, which must be names."""
    for role, column in layout.columns.items():
        if isinstance(column, int):
            raise InputError(f"data.columns.{role}: {file}: features of a tf.Example have names, not numbers")
    return layout.columns
