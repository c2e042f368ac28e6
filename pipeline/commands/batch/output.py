"""Writes tables of ids and figures to a file or an object of a store, which appears when it is whole."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from errors import ConfigError
from storage.store import Store
from storage.urls import is_object, parse

Write = Callable[[pa.Table], None]
FORMATS = (".csv", ".jsonl", ".parquet")


@contextlib.contextmanager
def staged(target: Path | str, schema: pa.Schema) -> Iterator[Write]:
    """Opens a file in the format of its name, and yields a function that appends a table to it.

    The file is staged next to `target` and renamed at the end. An error leaves nothing, and an earlier file as it was.
    An object is staged in the temporary folder of this machine and uploaded at the end.

    Args:
      target: the path or the URL, which ends in .csv, .jsonl or .parquet.
      schema: the columns of all tables. Ids are strings, or binary if an id is not UTF-8.

    Raises:
      ConfigError: the file cannot be written, or has another ending.
      StoreError, StoreUnavailable: the object cannot be written.
    """
    check(target)
    if not is_object(str(target)):
        with _renamed(Path(target), schema) as write:
            yield write
        return
    folder, _, name = str(target).rpartition("/")
    with tempfile.TemporaryDirectory(prefix="kindred-output-") as local:
        file = Path(local, name)
        with _renamed(file, schema) as write:
            yield write
        Store(folder).send(str(file), name)


@contextlib.contextmanager
def _renamed(path: Path, schema: pa.Schema) -> Iterator[Write]:
    staging = path.with_name(f".{path.name}.{os.getpid()}")
    opened = {".csv": _csv, ".jsonl": _json_lines, ".parquet": _parquet}[path.suffix]
    try:
        with opened(staging, schema) as write:
            yield write
        os.replace(staging, path)
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise ConfigError(f"--output {path}: cannot be written ({reason}). Give another file") from None
    finally:
        staging.unlink(missing_ok=True)


def check(target: Path | str) -> None:
    """Checks the name and the folder of an output before the work.

    Raises:
      ConfigError: the file has another ending than .csv, .jsonl or .parquet, or its folder does not exist.
      StoreError, StoreUnavailable: there is no such bucket, or the store refuses access.
    """
    path = Path(target)
    if path.suffix not in FORMATS:
        raise ConfigError(f"--output: must end in one of {', '.join(FORMATS)} (got {str(target)!r})")
    if is_object(str(target)):
        try:
            parse(str(target))
        except ValueError as error:
            raise ConfigError(f"--output: {error}") from None
        Store(str(target).rpartition("/")[0]).check_bucket()
        return
    if not path.absolute().parent.is_dir():
        raise ConfigError(f"--output {path}: the folder {path.parent} does not exist. Create it, or give another file")


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
