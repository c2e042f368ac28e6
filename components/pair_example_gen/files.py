"""Finding and opening input files: directly on this machine, through Beam's file systems elsewhere."""

from __future__ import annotations

import contextlib
import glob
import os
from collections.abc import Iterator

import pyarrow as pa


def is_remote(path: str) -> bool:
    """Whether `path` is a URL such as gs://bucket/pairs.csv."""
    return "://" in path


def matching(path: str) -> list[str]:
    """The files, directories left out, that match `path`, sorted."""
    if is_remote(path):
        from apache_beam.io.filesystems import FileSystems

        (result,) = FileSystems.match([path])
        return sorted(found.path for found in result.metadata_list)
    return sorted(file for file in glob.glob(path) if os.path.isfile(file))


@contextlib.contextmanager
def byte_stream(file: str) -> Iterator[pa.NativeFile]:
    """The bytes of `file`, decompressed where its name ends in .gz."""
    with _raw(file) as raw:
        yield pa.CompressedInputStream(raw, "gzip") if file.endswith(".gz") else raw


@contextlib.contextmanager
def _raw(file: str) -> Iterator[pa.NativeFile]:
    if not is_remote(file):
        with pa.OSFile(file) as local:
            yield local
        return
    # Beam costs half a second to import: only those who need it pay.
    from apache_beam.io.filesystem import CompressionTypes
    from apache_beam.io.filesystems import FileSystems

    with FileSystems.open(file, compression_type=CompressionTypes.UNCOMPRESSED) as remote:
        yield pa.PythonFile(remote, mode="r")
