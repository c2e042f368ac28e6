"""Estimates the disk space of examples before files are read as a whole."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.parquet as pq

from components.pair_example_gen import files

# The row numbers of both sides in the columns of codes. Measured are 30, so that fields of several lines do not matter.
_ROW = 8
_SAMPLE = 1 << 20


def least_bytes(input_files: Sequence[str]) -> int:
    """Returns bytes that the examples of some files surely need.

    Lines of text are counted in the first megabyte, and rows of Parquet in its footer. Compressed, binary and damaged
    files, and objects, count as nothing.

    Args:
      input_files: paths of files of pairs.
    """
    return _ROW * sum(map(_rows, input_files))


def _rows(file: str) -> int:
    if files.is_remote(file) or not os.path.isfile(file):  # not a member of an archive
        return 0
    if file.endswith(".parquet"):
        with contextlib.suppress(OSError, pa.ArrowException):  # the reader reports it
            return int(pq.read_metadata(file).num_rows)
        return 0
    if files.compression_of(file) is not None:
        return 0
    with open(file, "rb") as stream:
        sample = stream.read(_SAMPLE)
    if b"\0" in sample:
        return 0
    return sample.count(b"\n") * os.path.getsize(file) // max(len(sample), 1)
