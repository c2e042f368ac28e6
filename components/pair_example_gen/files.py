"""Finds and opens input files: local files directly, remote files through Beam's file systems."""

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

Fingerprint = tuple[int, int]  # size in bytes, time of the last change in nanoseconds


def is_remote(path: str) -> bool:
    """Returns whether `path` is a URL such as gs://bucket/pairs.csv."""
    return "://" in path


def matching(path: str) -> list[str]:
    """Returns the sorted files that match `path`, without directories."""
    if is_remote(path):
        from apache_beam.io.filesystems import FileSystems

        (result,) = FileSystems.match([path])
        return sorted(match.path for match in result.metadata_list)
    return sorted(file for file in glob.glob(path) if os.path.isfile(file))


def fingerprint(file: str) -> Fingerprint:
    """Returns the size and the time of the last change. If either differs, the file has changed."""
    with readable(file):
        if not is_remote(file):
            status = os.stat(file)
            return status.st_size, status.st_mtime_ns
        from apache_beam.io.filesystems import FileSystems

        (result,) = FileSystems.match([glob.escape(file)])
        (metadata,) = result.metadata_list
        return int(metadata.size_in_bytes), int((metadata.last_updated_in_seconds or 0) * 1e9)


def is_gzip(file: str) -> bool:
    """Returns whether `file` is compressed. Checks its first bytes, because file names can be wrong.

    Raises:
      InputError: the file is unreadable, or is named .gz but is not gzip.
    """
    with readable(file), _raw(file) as raw:
        magic = raw.read(2)
    if magic == GZIP_MAGIC:
        return True
    if file.endswith(".gz") and magic:
        raise InputError(f"data.path: {file} is named .gz but is not gzip. Rename or compress it")
    return False


@contextlib.contextmanager
def byte_stream(file: str, start: int = 0) -> Iterator[pa.NativeFile]:
    """Opens `file` at byte `start`, decompressed if it is gzip."""
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
    """Opens the file for random access. Maps local files into memory."""
    if not is_remote(file):
        with pa.memory_map(file) as mapped:
            yield mapped
        return
    with _raw(file) as raw:
        yield raw


@contextlib.contextmanager
def whole(file: str, staging: str | None = None) -> Iterator[str]:
    """Yields a staged path for writing `file`, then renames it, so that `file` appears only when complete.

    A lost worker can still write while another one repeats its work. Object stores need no staging, because an object
    appears only when complete.

    Args:
      file: the final path or URL.
      staging: a directory on the same file system. The default is the directory of `file`.
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
    """Opens a new file for writing. The file appears only when complete."""
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
    """Turns errors of Arrow and the operating system into an InputError that names the file."""
    try:
        yield
    except (pa.ArrowException, EOFError, OSError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        if "Truncated compressed stream" in reason:
            reason = "its gzip data is incomplete"
        elif "zlib inflate failed" in reason:
            reason = f"its gzip data is damaged ({reason})"
        raise InputError(f"data.path: {file} cannot be read: {reason}") from None


@contextlib.contextmanager
def _raw(file: str) -> Iterator[pa.NativeFile]:
    if not is_remote(file):
        with pa.OSFile(file) as local:
            yield local
        return
    # Beam takes half a second to import. Only remote files need it.
    from apache_beam.io.filesystem import CompressionTypes
    from apache_beam.io.filesystems import FileSystems

    with FileSystems.open(file, compression_type=CompressionTypes.UNCOMPRESSED) as remote:
        yield pa.PythonFile(remote, mode="r")
