"""What every reader hands over: columns as they stand in the file, and where each row stands."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pyarrow as pa

# Raw text in the quarantine is cut here, so that a file without line ends does not come back whole.
RAW_BYTES = 64 << 10

# Of a bad row we keep which file, where in it (the line for text; the row group and the row in it, from 0, for Parquet;
# the record, from 0, for TFRecords), the rule it breaks, and what it says.
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
class Places:
    """Where rows are in their file: `line`, or `row` (within `row_group` where there are groups)."""

    line: np.ndarray | None = None
    row: np.ndarray | None = None
    row_group: int | None = None

    def take(self, rows: np.ndarray) -> Places:
        """The places of the given rows."""
        line = None if self.line is None else self.line[rows]
        return Places(line, None if self.row is None else self.row[rows], self.row_group)

    def as_columns(self, count: int) -> list[pa.Array]:
        """Line, row group and row of each of `count` rows; null where the format has no such thing."""
        nothing = pa.nulls(count, pa.int64())
        group = nothing if self.row_group is None else pa.array(np.full(count, self.row_group, np.int64))
        return [
            nothing if self.line is None else pa.array(self.line, pa.int64()),
            group,
            nothing if self.row is None else pa.array(self.row, pa.int64()),
        ]


@dataclasses.dataclass(frozen=True)
class RawRows:
    """Rows of a file before anything is checked.

    `columns` by what they are (left, right, score, weight, time): ids binary, the others binary text or numbers; null
    where the file has no value. `raw` gives the text of the rows with the given numbers. `broken` are rows that have no
    columns at all, after schema QUARANTINE.
    """

    columns: dict[str, pa.Array]
    places: Places
    raw: Callable[[np.ndarray], pa.Array]
    broken: pa.Table

    def __len__(self) -> int:
        return len(self.columns["left"])


def quarantined(file: str, places: Places, reasons: list[str], raw: pa.Array) -> pa.Table:
    """Bad rows after schema QUARANTINE."""
    count = len(reasons)
    columns = [pa.array([file] * count, pa.string()), *places.as_columns(count), pa.array(reasons, pa.string()), raw]
    return pa.Table.from_arrays(columns, schema=QUARANTINE)


def describe_place(file: str, line: int | None, row_group: int | None, row: int | None) -> str:
    """A place as people write it."""
    if line is not None:
        return f"{file}, line {line}"
    return f"{file}, record {row}" if row_group is None else f"{file}, row group {row_group}, row {row}"
