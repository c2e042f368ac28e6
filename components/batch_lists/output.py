"""Writes tables of ids and figures to a file, which appears when it is whole."""

from __future__ import annotations

import contextlib
import json
import os
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

Write = Callable[[pa.Table], None]
FORMATS = (".csv", ".jsonl", ".parquet")


@contextlib.contextmanager
def staged(path: Path, schema: pa.Schema) -> Iterator[Write]:
    """Opens a file in the format of its name, and yields a function that appends a table to it.

    The file is staged next to `path` and renamed at the end. An error leaves nothing, and an earlier file as it was.

    Args:
      path: the file, which ends in .csv, .jsonl or .parquet.
      schema: the columns of all tables. Ids are strings, or binary if an id is not UTF-8.

    Raises:
      OSError: the file cannot be written.
    """
    staging = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    opened = {".csv": _csv, ".jsonl": _json_lines, ".parquet": _parquet}[path.suffix]
    try:
        with opened(staging, schema) as write:
            yield write
        os.replace(staging, path)
    finally:
        staging.unlink(missing_ok=True)


@contextlib.contextmanager
def _parquet(path: Path, schema: pa.Schema) -> Iterator[Write]:
    with pa.parquet.ParquetWriter(path, schema, compression="zstd") as writer:
        yield writer.write_table


@contextlib.contextmanager
def _csv(path: Path, schema: pa.Schema) -> Iterator[Write]:
    with pa.csv.CSVWriter(path, schema) as writer:
        yield writer.write_table


@contextlib.contextmanager
def _json_lines(path: Path, schema: pa.Schema) -> Iterator[Write]:
    with open(path, "w", encoding="ascii") as file:

        def write(table: pa.Table) -> None:
            for row in table.to_pylist():
                plain = {name: os.fsdecode(value) if isinstance(value, bytes) else value for name, value in row.items()}
                file.write(json.dumps(plain) + "\n")

        yield write
