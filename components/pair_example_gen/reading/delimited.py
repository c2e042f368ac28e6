"""Reads CSV and TSV: NumPy finds the fields of whole blocks, Arrow extracts them without a Python object per field."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from components.pair_example_gen.reading.compression import Readable
from components.pair_example_gen.reading.dialect import Dialect, Fields
from components.pair_example_gen.reading.records import FAULTS, Block
from components.pair_example_gen.rows import QUARANTINE, RAW_BYTES, RawRows, RowPositions, quarantined

_NUMBERS = ("score", "weight")


def read_rows(
    stream: Readable, file: str, dialect: Dialect, width: int, columns: dict[str, int], line: int
) -> Iterator[RawRows]:
    """Yields the given `columns`. The stream begins with a record of `width` fields on `line`."""
    for block in dialect.blocks(stream, line):
        yield _rows(file, block, dialect, width, columns)


def _rows(file: str, block: Block, dialect: Dialect, width: int, columns: dict[str, int]) -> RawRows:
    fields = dialect.fields(block)
    broken = QUARANTINE.empty_table()
    if not fields.are_all(width):
        counts = fields.counts
        good = (counts == width) & (fields.faults == 0)
        broken = _broken(file, fields, counts, width, np.flatnonzero(~good))
        fields = fields.take(good)
    found = {role: fields.column(column, width) for role, column in columns.items()}
    if dialect.decimal_comma:
        found |= {role: with_point(found[role]) for role in _NUMBERS if role in found}
    return RawRows(found, RowPositions(line=fields.lines), lambda rows: fields.raw(rows, RAW_BYTES), broken)


def with_point(column: pa.Array) -> pa.Array:
    """Returns numbers with a decimal comma as numbers with a point. A number with a point becomes no number."""
    return pc.replace_substring(pc.replace_substring(column, b".", b"?"), b",", b".")


def _broken(file: str, fields: Fields, counts: np.ndarray, width: int, rows: np.ndarray) -> pa.Table:
    """Returns the quarantine rows of broken records."""
    reasons = [
        FAULTS[fault] if fault else f"{count} fields instead of {width}"
        for fault, count in zip(fields.faults[rows].tolist(), counts[rows].tolist(), strict=True)
    ]
    return quarantined(file, RowPositions(line=fields.lines[rows]), reasons, fields.raw(rows, RAW_BYTES))
