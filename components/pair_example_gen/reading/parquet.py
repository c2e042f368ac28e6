"""Reads Parquet files by row groups."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.parquet

from components.pair_example_gen import files
from components.pair_example_gen.rows import RAW_BYTES, RawRows, RowPositions, separate
from components.pair_example_gen.values import as_ids, as_plain, can_be, is_id
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
                yield _rows(file, batch, columns, group, first)
                first += batch.num_rows


def _rows(file: str, batch: pa.RecordBatch, columns: dict[str, str], group: int, first: int) -> RawRows:
    values = {role: batch.column(name) for role, name in columns.items()}
    reasons = np.full(batch.num_rows, "", object)
    fields = {
        role: as_ids(column, role, reasons) if is_id(role) else as_plain(column) for role, column in values.items()
    }

    def raw(rows: np.ndarray) -> pa.Array:
        return raw_text(list(values.values()), rows)

    positions = RowPositions(row=np.arange(first, first + batch.num_rows), row_group=group)
    return separate(file, fields, positions, raw, reasons)


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
    if pa.types.is_null(type_):
        raise InputError(
            f"data.columns.{role}: {file}: column {name!r} has no value in any row. Omit it, or fix the file"
        )
    if not can_be(role, type_):
        wanted = "text, whole numbers or UUIDs" if is_id(role) else "numbers or text"
        raise InputError(f"data.columns.{role}: {file}: column {name!r} holds {type_}, but needs {wanted}")
