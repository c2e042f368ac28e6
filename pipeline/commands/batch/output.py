"""The option `--output`: a file or an object of a store, which appears when it is whole."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from components.batch_lists.output import FORMATS, Write, staged
from errors import ConfigError
from storage.store import Store
from storage.urls import is_object, parse


@contextlib.contextmanager
def written(target: Path | str, schema: pa.Schema) -> Iterator[Write]:
    """Opens a file as `components.batch_lists.output.staged` does.

    An object is staged in the temporary folder of this machine and uploaded at the end.

    Args:
      target: the path or the URL, which ends in .csv, .jsonl or .parquet.
      schema: the columns of all tables.

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
    try:
        with staged(path, schema) as write:
            yield write
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise ConfigError(f"--output {path}: cannot be written ({reason}). Give another file") from None


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
