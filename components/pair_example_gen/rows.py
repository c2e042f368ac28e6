"""The common output of all readers: unchecked columns, and the position of each row."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa

# Limits the raw text of a bad row, so that a file without line ends is not copied as a whole.
RAW_BYTES = 64 << 10

# A position is `line` (text), `row_group` and `row` within it from 0 (Parquet), or `row` from 0 (TFRecords).
QUARANTINE = pa.schema(
    [
        ("file", pa.string()),
        ("line", pa.int64()),
        ("row_group", pa.int64()),
        ("row", pa.int64()),
        ("reason", pa.string()),
        ("raw", pa.binary()),
    ]
)


@dataclasses.dataclass(frozen=True)
class RowPositions:
    """The positions of rows in their file: `line`, or `row` (within `row_group` where there are groups)."""

    line: np.ndarray | None = None
    row: np.ndarray | None = None
    row_group: int | None = None

    def take(self, rows: np.ndarray) -> RowPositions:
        """Returns the positions of the given rows."""
        line = None if self.line is None else self.line[rows]
        return RowPositions(line, None if self.row is None else self.row[rows], self.row_group)

    def as_columns(self, count: int) -> list[pa.Array]:
        """Returns line, row group and row for `count` rows, null where the format has no such number."""
        nothing = pa.nulls(count, pa.int64())
        group = nothing if self.row_group is None else pa.array(np.full(count, self.row_group, np.int64))
        return [
            nothing if self.line is None else pa.array(self.line, pa.int64()),
            group,
            nothing if self.row is None else pa.array(self.row, pa.int64()),
        ]


@dataclasses.dataclass(frozen=True)
class RawRows:
    """Unchecked rows of a file.

    Attributes:
      columns: column of each role (left, right, score, weight, time), each `[n]`. Ids are binary, the others are binary
        text or numbers. Null where the file has no value.
      positions: position of each row.
      raw: returns the raw text of the rows with the given numbers.
      broken: rows without columns, with schema QUARANTINE.
    """

    columns: dict[str, pa.Array]
    positions: RowPositions
    raw: Callable[[np.ndarray], pa.Array]
    broken: pa.Table

    def __len__(self) -> int:
        return len(self.columns["left"])


def quarantined(file: str, positions: RowPositions, reasons: list[str], raw: pa.Array) -> pa.Table:
    """Returns bad rows with schema QUARANTINE."""
    count = len(reasons)
    columns = [pa.array([file] * count, pa.string()), *positions.as_columns(count), pa.array(reasons, pa.string()), raw]
    return pa.Table.from_arrays(columns, schema=QUARANTINE)


def separate(
    file: str, fields: dict[str, pa.Array], positions: RowPositions, raw: Callable[[np.ndarray], pa.Array], reasons: Any
) -> RawRows:
    """Returns rows, with those that have a reason as broken ones.

    Args:
      file: path of the file.
      fields: column of each role, each `[n]`.
      positions: position of each row.
      raw: returns the raw text of the rows with the given numbers.
      reasons: object `[n]`: the reason why a row is bad, or an empty text.
    """
    bad = np.flatnonzero(reasons != "")
    if not len(bad):
        return RawRows(fields, positions, raw, QUARANTINE.empty_table())
    good = np.flatnonzero(reasons == "")
    broken = quarantined(file, positions.take(bad), reasons[bad].tolist(), raw(bad))
    kept = {role: column.take(pa.array(good)) for role, column in fields.items()}
    return RawRows(kept, positions.take(good), lambda rows: raw(good[rows]), broken)


def describe_position(file: str, line: int | None, row_group: int | None, row: int | None) -> str:
    """Returns a position as text."""
    if line is not None:
        return f"{file}, line {line}"
    return f"{file}, record {row}" if row_group is None else f"{file}, row group {row_group}, row {row}"
