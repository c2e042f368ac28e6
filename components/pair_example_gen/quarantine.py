"""Writes bad rows to Parquet, describes them, and keeps them when the run is refused."""

from __future__ import annotations

import contextlib
import os
from collections import Counter
from collections.abc import Iterator
from types import TracebackType
from typing import Any

import pyarrow as pa
import pyarrow.parquet
import tensorflow as tf
from tfx.dsl.io import fileio

from components.pair_example_gen import files
from components.pair_example_gen.rows import QUARANTINE, describe_position

_FILE = "quarantine-{}.parquet"
_SHOWN_ROWS = 3
_SHOWN_BYTES = 200
_SHOWN_REASONS = 20


class QuarantineWriter:
    """Writes the bad rows of one chunk. Creates no file if there are none."""

    def __init__(self, directory: str, name: str, staging: str | None = None) -> None:
        self.reasons: Counter[str] = Counter()
        self._staging = staging
        self._path = os.path.join(directory, _FILE.format(name))
        self._out = contextlib.ExitStack()
        self._writer: Any = None

    def __enter__(self) -> QuarantineWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._out.__exit__(kind, error, trace)

    def write(self, bad: pa.Table) -> None:
        """Adds rows with schema QUARANTINE."""
        if not bad.num_rows:
            return
        if self._writer is None:
            file = self._out.enter_context(files.writable(self._path, self._staging))
            self._writer = self._out.enter_context(pa.parquet.ParquetWriter(file, QUARANTINE))
        self._writer.write_table(bad)
        counts = bad["reason"].combine_chunks().value_counts()
        self.reasons.update({row["values"]: row["counts"] for row in counts.to_pylist()})


def describe(directory: str, reasons: Counter[str]) -> list[str]:
    """Returns lines with the number of rows for each reason, and the first of them."""
    first = _first_rows(directory, set(reasons))
    lines = []
    for reason, count in reasons.most_common(_SHOWN_REASONS):
        lines.append(f"  {count:,} x {reason}")
        lines += [f"    {row}" for row in first[reason]]
    if len(reasons) > _SHOWN_REASONS:
        rest = sum(count for _, count in reasons.most_common()[_SHOWN_REASONS:])
        lines.append(f"  {rest:,} for {len(reasons) - _SHOWN_REASONS:,} other reasons")
    return lines


def _first_rows(directory: str, reasons: set[str]) -> dict[str, list[str]]:
    first: dict[str, list[str]] = {reason: [] for reason in reasons}
    missing = set(reasons)
    for row in _rows(directory):
        rows = first[row["reason"]]
        if len(rows) < _SHOWN_ROWS:
            rows.append(_describe_row(row))
        if len(rows) == _SHOWN_ROWS:
            missing.discard(row["reason"])
            if not missing:
                break
    return first


def _rows(directory: str) -> Iterator[dict[str, Any]]:
    for path in files.matching(os.path.join(directory, "*.parquet")):
        with files.random_access(path) as source:
            for batch in pa.parquet.ParquetFile(source).iter_batches(256):
                yield from batch.to_pylist()


def _describe_row(row: dict[str, Any]) -> str:
    raw = row["raw"][:_SHOWN_BYTES].decode(errors="replace")
    more = "..." if len(row["raw"]) > _SHOWN_BYTES else ""
    return f"{describe_position(row['file'], row['line'], row['row_group'], row['row'])}: {raw!r}{more}"


def keep_apart(directory: str) -> str:
    """Moves the quarantine of a refused run, because TFX deletes the outputs of a failed execution.

    Returns:
      The new directory: `refused/N` next to the directory of the quarantine artifacts.
    """
    artifacts, number = os.path.split(os.path.normpath(directory) if "://" not in directory else directory.rstrip("/"))
    kept = os.path.join(os.path.dirname(artifacts), "refused", number)
    if tf.io.gfile.exists(kept):
        tf.io.gfile.rmtree(kept)
    fileio.makedirs(kept)
    for path in files.named(directory, ".parquet"):
        tf.io.gfile.copy(path, os.path.join(kept, os.path.basename(path)))
    return kept
