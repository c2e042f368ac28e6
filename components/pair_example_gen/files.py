"""Finds and opens input files: local files directly, remote files through Beam's file systems."""

from __future__ import annotations

import contextlib
import glob
import os
import tempfile
import uuid
from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from components.pair_example_gen.reading import archives, compression
from errors import InputError

_COPY_BYTES = 8 << 20
_INCOMPLETE = ("Truncated compressed stream", "end-of-stream marker", "truncated")

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


def named(directory: str, suffix: str) -> list[str]:
    """Returns the sorted paths in a directory that end with `suffix`. Unlike a glob, takes the directory literally."""
    import tensorflow as tf

    if not tf.io.gfile.exists(directory):
        return []
    return [os.path.join(directory, name) for name in sorted(tf.io.gfile.listdir(directory)) if name.endswith(suffix)]


def fingerprint(file: str) -> Fingerprint:
    """Returns the size and the time of the last change. If either differs, the file has changed."""
    with readable(file):
        if not is_remote(file):
            status = os.stat(archives.on_disk(file))
            return status.st_size, status.st_mtime_ns
        from apache_beam.io.filesystems import FileSystems

        (result,) = FileSystems.match([glob.escape(file)])
        (metadata,) = result.metadata_list
        return int(metadata.size_in_bytes), int((metadata.last_updated_in_seconds or 0) * 1e9)


def compression_of(file: str) -> str | None:
    """Returns the compression of a file, `zip` for a member of an archive, or None. Its first bytes decide.

    Raises:
      InputError: the file is unreadable, or its name announces a compression that it does not have. Parquet is
        compressed inside, and pandas users name it after that compression.
    """
    with readable(file), _raw(file) as raw:
        head = raw.read(compression.HEAD_BYTES)
    found, named = compression.kind_of(head), compression.suffix_kind(file)
    if named and head and not found and not head.startswith(compression.PARQUET):
        suffix = os.path.splitext(file)[1]
        raise InputError(f"data.path: {file} is named {suffix} but is not {named}. Rename or compress it")
    return found or ("zip" if _in_archive(file) else None)


@contextlib.contextmanager
def byte_stream(file: str, start: int = 0) -> Iterator[compression.Readable]:
    """Opens the content of `file` at byte `start`, without its compression."""
    size, _ = fingerprint(file)
    with _raw(file) as raw:
        yield compression.opened(raw, file, size, start, _in_archive(file))


@contextlib.contextmanager
def random_access(file: str) -> Iterator[pa.NativeFile]:
    """Opens the file for random access. Maps local files into memory, and compressed files after decompression."""
    if is_remote(file):
        with _raw(file) as raw:
            yield raw
        return
    with decompressed(file) as path, pa.memory_map(path) as mapped:
        yield mapped


@contextlib.contextmanager
def decompressed(file: str, but: tuple[str, ...] = ()) -> Iterator[str]:
    """Yields the path of a local file, or of a temporary copy without its compression.

    Args:
      file: path of the file.
      but: compressions that the caller reads itself.
    """
    kind = compression_of(file)
    if kind is None or kind in but:
        yield file
        return
    with tempfile.NamedTemporaryFile() as copy, byte_stream(file) as stream:
        while data := stream.read(_COPY_BYTES):
            copy.write(data)
        copy.flush()
        yield copy.name


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
    except compression.ERRORS as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        kind = _kind(file)
        if kind and any(text in reason for text in _INCOMPLETE):
            reason = f"its {kind} data is incomplete"
        elif kind and not isinstance(error, FileNotFoundError | PermissionError):
            reason = f"its {kind} data is damaged ({reason})"
        raise InputError(f"data.path: {file} cannot be read: {reason}") from None


def _in_archive(file: str) -> bool:
    return not is_remote(file) and archives.split(file) is not None


def _kind(file: str) -> str | None:
    try:
        with _raw(file) as raw:
            found = compression.kind_of(raw.read(compression.HEAD_BYTES))
    except compression.ERRORS:
        return "zip" if _in_archive(file) else None
    return found


@contextlib.contextmanager
def _raw(file: str) -> Iterator[Any]:
    if not is_remote(file):
        member = archives.split(file)
        if member:
            with archives.opened(member[0]) as archive, archive.open(member[1]) as content:
                yield content
        else:
            with pa.OSFile(file) as local:
                yield local
        return
    # Beam takes half a second to import. Only remote files need it.
    from apache_beam.io.filesystem import CompressionTypes
    from apache_beam.io.filesystems import FileSystems

    with FileSystems.open(file, compression_type=CompressionTypes.UNCOMPRESSED) as remote:
        yield pa.PythonFile(remote, mode="r")
