"""Finds, opens and writes files: local ones directly, and those that have a URL as objects of a store."""

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
from storage import by_url

_COPY_BYTES = 8 << 20
_OWN = ".arrow"  # files of this program, which are not compressed
_INCOMPLETE = ("Truncated compressed stream", "end-of-stream marker", "truncated")

Fingerprint = tuple[int, int]  # size in bytes, time of the last change in nanoseconds


def is_remote(path: str) -> bool:
    """Returns whether `path` is a URL such as gs://bucket/pairs.csv."""
    return "://" in path


def matching(path: str) -> list[str]:
    """Returns the sorted files that match `path`, without directories."""
    if is_remote(path):
        return by_url.matching(path)
    return sorted(file for file in glob.glob(path) if os.path.isfile(file))


def named(directory: str, suffix: str) -> list[str]:
    """Returns the sorted paths in a directory that end with `suffix`. Unlike a glob, takes the directory literally."""
    if is_remote(directory):
        return by_url.matching(f"{directory}/*{suffix}")
    if not os.path.isdir(directory):
        return []
    return [os.path.join(directory, name) for name in sorted(os.listdir(directory)) if name.endswith(suffix)]


def exists(file: str) -> bool:
    """Returns whether there is a file."""
    return by_url.find(file) is not None if is_remote(file) else os.path.isfile(file)


def remove(file: str) -> None:
    """Deletes a file."""
    if is_remote(file):
        by_url.delete(file)
    else:
        os.remove(file)


def content(file: str) -> bytes:
    """Returns the bytes of a small file."""
    if is_remote(file):
        return by_url.read(file)
    with open(file, "rb") as source:
        return source.read()


def fingerprint(file: str) -> Fingerprint:
    """Returns the size and the time of the last change. If either differs, the file has changed."""
    with readable(file):
        if not is_remote(file):
            status = os.stat(archives.on_disk(file))
            return status.st_size, status.st_mtime_ns
        found = by_url.find(file)
        if found is None:
            raise FileNotFoundError(f"there is no object {file}")
        return found.size, found.changed


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
    if is_remote(file) and (file.endswith(_OWN) or compression_of(file) is None):
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
    """Yields a staged path for writing a local file, then renames it, so that it appears only when complete.

    A lost worker can still write while another one repeats its work.

    Args:
      file: the final path.
      staging: a directory on the same file system. The default is the directory of `file`.
    """
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
    if is_remote(file):
        with by_url.written(file) as remote:
            yield remote
        return
    with whole(file, staging) as staged, pa.OSFile(staged, "wb") as local:
        yield local


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
    if is_remote(file):
        with by_url.opened(file) as remote:
            yield remote
        return
    member = archives.split(file)
    if member:
        with archives.opened(member[0]) as archive, archive.open(member[1]) as content:
            yield content
    else:
        with pa.OSFile(file) as local:
            yield local
