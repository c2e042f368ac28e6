"""Reads the first rows of a file of pairs whose columns are not known yet, with the readers of PairExampleGen."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet

from components.pair_example_gen import files
from components.pair_example_gen.reading import json_lines, recognition
from components.pair_example_gen.reading.beginning import read_beginning
from components.pair_example_gen.reading.delimited import with_point
from components.pair_example_gen.reading.formats import Format, format_of
from components.pair_example_gen.reading.head import Head, read_head
from components.pair_example_gen.settings import ColumnSettings, PairFiles
from components.pair_example_gen.text_files import Column
from errors import ConfigError, InputError

ROWS = 10_000
_NUMBERED = ColumnSettings(left=0, right=1)


@dataclasses.dataclass(frozen=True)
class Sample:
    """The first rows of a file.

    Attributes:
      file: its path.
      settings: keys of section `data` without which the file cannot be read, such as `format`.
      columns: the values of each column as binary text, null where missing. The key is its name, or its number.
      recognized: what was recognized, in words.
      head: the head of delimited text.
      first: the first record of delimited text, which may be a header. Its values are not in `columns`.
    """

    file: str
    settings: dict[str, Any]
    columns: dict[Column, pa.Array]
    recognized: tuple[str, ...] = ()
    head: Head | None = None
    first: tuple[str, ...] = ()

    @property
    def rows(self) -> int:
        """The number of rows in the sample."""
        return max(map(len, self.columns.values()), default=0)

    def with_first(self) -> Sample:
        """Returns the sample with the values of the first record, which is no header."""
        columns: dict[Column, pa.Array] = {
            column: pa.concat_arrays([pa.array([value.encode() or None], pa.binary()), values])
            for (column, values), value in zip(self.columns.items(), self.first, strict=True)
        }
        return dataclasses.replace(self, columns=columns)


def read_sample(file: str) -> Sample:
    """Reads the first rows of a file in any format that PairExampleGen reads, except TFRecord.

    Raises:
      InputError: the file is unreadable, empty, or of another format.
      ConfigError: the file is a TFRecord file.
    """
    settings: dict[str, Any] = {}
    try:
        format_ = format_of(file, _layout(file, settings))
    except InputError as error:
        if "auto supports" not in str(error):
            raise
        # An unknown suffix. The content decides.
        format_, settings = "csv", {"format": "csv"}
    if format_ == "tfrecord":
        raise ConfigError(
            f"--data: {file} is a TFRecord file, and kindred init reads CSV, TSV, JSON lines and Parquet. Write the "
            "file with data.path and data.columns (docs/pipeline-file.md)"
        )
    if format_ == "parquet":
        return Sample(file, settings, _parquet_columns(file))
    beginning = read_beginning(file, "auto").data
    lines = [line for line in beginning.split(b"\n", ROWS)[:ROWS] if line.strip()]
    if not lines:
        raise InputError(f"data.path: {file} has only blank lines. Training needs at least one row")
    if format_ == "jsonl" or json_lines.is_object(lines[0]):
        return Sample(file, {} if format_ == "jsonl" else {"format": "jsonl"}, _json_columns(file, lines))
    if recognition.is_adjacency(lines):
        return Sample(file, {"format": "adjacency"}, {0: pa.array([], pa.binary()), 1: pa.array([], pa.binary())})
    return _delimited(file, format_, settings)


def _layout(file: str, settings: dict[str, Any]) -> PairFiles:
    return PairFiles(path=file, columns=_NUMBERED, header=False, **settings)


def _delimited(file: str, format_: Format, settings: dict[str, Any]) -> Sample:
    """Reads delimited text. Every column has a number."""
    head = read_head(file, format_, _layout(file, settings))
    assert head.dialect
    beginning = read_beginning(file, "auto")
    data = beginning.data[head.start - beginning.start :]
    block = dataclasses.replace(beginning, data=data, start=head.start).first_block(head.dialect.blocks)
    assert block
    fields, width = head.dialect.fields(block), len(head.names)
    if width < 2:
        raise InputError(
            f"data.path: {file}: the lines have one field. If another text separates the fields, write the file with "
            "data.delimiter (docs/input.md)"
        )
    whole = (fields.counts == width) & (fields.faults == 0) & (np.arange(len(fields)) <= ROWS)
    first = fields.of_record(0) if len(fields) and whole[0] else []
    rows = fields.take(whole & (np.arange(len(fields)) >= bool(first)))
    columns: dict[Column, pa.Array] = {at: _filled(rows.column(at, width)) for at in range(width)}
    return Sample(
        file, settings, columns, head.recognized, head, tuple(value.decode(errors="replace") for value in first)
    )


def numbers_with_point(column: pa.Array) -> pa.Array:
    """Returns a column of text in which numbers with a decimal comma have a point."""
    commas = pc.match_substring_regex(column, r"^\s*[+-]?\d*,\d+\s*$")
    return pc.if_else(commas, with_point(column), column)


def _filled(column: pa.Array) -> pa.Array:
    """Returns a column with null for blank text."""
    return pc.if_else(pc.equal(pc.binary_length(column), 0), pa.scalar(None, pa.binary()), column)


def _json_columns(file: str, lines: Iterable[bytes]) -> dict[Column, pa.Array]:
    objects = [found for line in lines if isinstance(found := _parsed(line), dict)]
    if not objects:
        raise InputError(f"data.path: {file} is not JSON lines: none of its first lines is a JSON object")
    names = dict.fromkeys(key for found in objects for key in found)
    return {name: pa.array([_text(found.get(name)) for found in objects], pa.binary()) for name in names}


def _parsed(line: bytes) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None


def _text(value: Any) -> bytes | None:
    if value is None or value == "" or isinstance(value, dict | list):
        return None
    return (value if isinstance(value, str) else json.dumps(value)).encode(errors="replace")


def _parquet_columns(file: str) -> dict[Column, pa.Array]:
    with files.readable(file), files.random_access(file) as source:
        batch = next(pa.parquet.ParquetFile(source).iter_batches(ROWS), None)
        if batch is None:
            raise InputError(f"data.path: {file} has no rows")
        names = batch.schema.names
        once = [name for name in names if names.count(name) == 1]
        return {name: column for name in once if (column := _as_text(batch.column(name))) is not None}


def _as_text(column: pa.Array) -> pa.Array | None:
    """Returns a column as binary text, or None if it is nested."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if pa.types.is_nested(column.type):
        return None
    try:
        return _filled(column.cast(pa.string()).cast(pa.binary()))
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        texts = [None if value is None else str(value).encode(errors="replace") for value in column.to_pylist()]
        return pa.array(texts, pa.binary())
