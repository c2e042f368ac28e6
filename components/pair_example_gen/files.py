"""Finding and opening input files: directly on this machine, through Beam's file systems elsewhere."""

from __future__ import annotations

import contextlib
import glob
import os
import uuid
from collections.abc import Iterator

import pyarrow as pa

from errors import InputError

GZIP_MAGIC = b"\x1f\x8b"
_SKIP_BYTES = 8 << 20

Fingerprint = tuple[int, int]  # bytes, time of the last change in nanoseconds


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


def fingerprint(file: str) -> Fingerprint:
    """Size and time of the last change: where either differs, the file is another one."""
    with readable(file):
        if not is_remote(file):
            status = os.stat(file)
            return status.st_size, status.st_mtime_ns
        from apache_beam.io.filesystems import FileSystems

        (result,) = FileSystems.match([glob.escape(file)])
        (metadata,) = result.metadata_list
        return int(metadata.size_in_bytes), int((metadata.last_updated_in_seconds or 0) * 1e9)


def is_gzip(file: str) -> bool:
    """Whether `file` is compressed, by its first bytes: names lie.

    Raises:
      InputError: it cannot be read, or is called .gz and is something else.
    """
    with readable(file), _raw(file) as raw:
        magic = raw.read(2)
    if magic == GZIP_MAGIC:
        return True
    if file.endswith(".gz") and magic:
        raise InputError(f"data.path: {file} is called .gz and is not gzip; rename it, or compress it again")
    return False


@contextlib.contextmanager
def byte_stream(file: str, start: int = 0) -> Iterator[pa.NativeFile]:
    """The bytes of `file` from `start` on, decompressed where it is gzip."""
    compressed = is_gzip(file)
    with _raw(file) as raw:
        if not compressed:
            raw.seek(start)
            yield raw
            return
        stream = pa.CompressedInputStream(raw, "gzip")
        while start:
            start -= len(stream.read(min(start, _SKIP_BYTES)))
        yield stream


@contextlib.contextmanager
def random_access(file: str) -> Iterator[pa.NativeFile]:
    """The file for reading at any place; mapped into memory where it is local."""
    if not is_remote(file):
        with pa.memory_map(file) as mapped:
            yield mapped
        return
    with _raw(file) as raw:
        yield raw


@contextlib.contextmanager
def whole(file: str, staging: str | None = None) -> Iterator[str]:
    """Where to write `file` so that it appears whole or not at all; `staging` is a directory of the same file system.

    A worker may be lost, and its work done again while it still writes. In a bucket an object is whole in any case.
    """
    if is_remote(file):
        yield file
        return
    staged = os.path.join(staging or os.path.dirname(file), f"{uuid.uuid4().hex}.staged")
    try:
        yield staged
        os.replace(staged, file)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.remove(staged)


@contextlib.contextmanager
def writable(file: str, staging: str | None = None) -> Iterator[pa.NativeFile]:
    """A new file, which appears whole or not at all."""
    if not is_remote(file):
        with whole(file, staging) as staged, pa.OSFile(staged, "wb") as local:
            yield local
        return
    from apache_beam.io.filesystem import CompressionTypes
    from apache_beam.io.filesystems import FileSystems

    with FileSystems.create(file, compression_type=CompressionTypes.UNCOMPRESSED) as remote:
        yield pa.PythonFile(remote, mode="w")


@contextlib.contextmanager
def readable(file: str) -> Iterator[None]:
    """Turns what Arrow and the operating system say of an unreadable file into an InputError that names it."""
    try:
        yield
    except (pa.ArrowException, EOFError, OSError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        if "Truncated compressed stream" in reason:
            reason = "its gzip compression breaks off: the file is not complete"
        elif "zlib inflate failed" in reason:
            reason = f"its gzip compression is damaged ({reason})"
        raise InputError(f"data.path: {file} cannot be read: {reason}") from None


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
