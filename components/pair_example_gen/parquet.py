"""Reads Parquet files by row groups."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.parquet

from components.pair_example_gen import files
from components.pair_example_gen.rows import QUARANTINE, RAW_BYTES, RawRows, RowPositions
from errors import InputError

_BATCH_ROWS = 65_536


def read_names(file: str) -> tuple[str, ...]:
    """Returns the columns of `file`.

    Raises:
      InputError: the file is unreadable or not Parquet.
    """
    with files.readable(file), files.random_access(file) as source:
        return tuple(pa.parquet.ParquetFile(source).schema_arrow.names)


def row_group_bytes(file: str) -> list[int]:
    """Returns the uncompressed size of each row group, in bytes."""
    with files.readable(file), files.random_access(file) as source:
        metadata = pa.parquet.ParquetFile(source).metadata
        return [metadata.row_group(group).total_byte_size for group in range(metadata.num_row_groups)]


def read_rows(file: str, columns: dict[str, str], row_groups: range) -> Iterator[RawRows]:
    """Yields the rows of the given row groups.

    Raises:
      InputError: a column has a type that is neither an id nor a number.
    """
    with files.random_access(file) as source:
        table = pa.parquet.ParquetFile(source)
        for role, name in columns.items():
            _check_type(file, role, name, table.schema_arrow.field(name).type)
        for group in row_groups:
            first = 0
            batches = table.iter_batches(_BATCH_ROWS, row_groups=[group], columns=list(columns.values()))
            for batch in batches:
                yield _rows(batch, columns, group, first)
                first += batch.num_rows


def _rows(batch: pa.RecordBatch, columns: dict[str, str], group: int, first: int) -> RawRows:
    fields = {role: as_plain(batch.column(name), is_id(role)) for role, name in columns.items()}

    def raw(rows: np.ndarray) -> pa.Array:
        return raw_text(list(fields.values()), rows)

    positions = RowPositions(row=np.arange(first, first + batch.num_rows), row_group=group)
    return RawRows(fields, positions, raw, QUARANTINE.empty_table())


def is_id(role: str) -> bool:
    """Returns whether a column of this role holds ids."""
    return role in ("left", "right")


def raw_text(columns: list[pa.Array], rows: np.ndarray) -> pa.Array:
    """Returns the values of the given rows as tab-separated text, for formats without raw text."""
    taken = [column.take(pa.array(rows)).to_pylist() for column in columns]
    lines = (b"\t".join(map(_as_text, values)) for values in zip(*taken, strict=True))
    return pa.array([line[:RAW_BYTES] for line in lines], pa.binary())


def _as_text(value: object) -> bytes:
    if value is None:
        return b""
    return value if isinstance(value, bytes) else str(value).encode()


def _check_type(file: str, role: str, name: str, type_: pa.DataType) -> None:
    value = type_.value_type if pa.types.is_dictionary(type_) else type_
    if _is_text(value) or pa.types.is_integer(value):
        return
    number = pa.types.is_floating(value) or pa.types.is_decimal(value)
    if not is_id(role) and (number or (role == "time" and (pa.types.is_timestamp(value) or pa.types.is_date(value)))):
        return
    wanted = "text or whole numbers" if is_id(role) else "numbers or text"
    raise InputError(f"data.columns.{role}: {file}: column {name!r} holds {type_}, but needs {wanted}")


def _is_text(type_: pa.DataType) -> bool:
    types = pa.types
    return bool(
        types.is_string(type_) or types.is_large_string(type_) or types.is_binary(type_) or types.is_large_binary(type_)
    )


def as_plain(column: pa.Array, is_id_column: bool) -> pa.Array:
    """Converts text to binary and whole-number ids to their digits. Other numbers stay unchanged."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if _is_text(column.type):
        return column.cast(pa.binary())
    return column.cast(pa.string()).cast(pa.binary()) if is_id_column else column
