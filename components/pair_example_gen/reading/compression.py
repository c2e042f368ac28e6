"""Decompresses files. The first bytes decide, because names can be wrong."""

from __future__ import annotations

import bz2
import lzma
import zipfile
from typing import Any, Protocol

import pyarrow as pa

from errors import InputError

# A file is refused when it expands beyond both limits.
MAX_RATIO = 250
MAX_BYTES = 1 << 30

SUFFIXES = {
    ".gz": "gzip",
    ".gzip": "gzip",
    ".zst": "zstd",
    ".zstd": "zstd",
    ".bz2": "bz2",
    ".xz": "xz",
    ".zip": "zip",
    ".lz4": "lz4",
}
_MAGIC = {
    b"\x1f\x8b": "gzip",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"\xfd7zXZ\x00": "xz",
    b"\x04\x22\x4d\x18": "lz4",
    b"PK\x03\x04": "zip",
    b"PK\x05\x06": "zip",
}
_BZ2_BLOCKS = (b"1AY&SY", b"\x17\x72\x45\x38\x50\x90")
HEAD_BYTES = 16
PARQUET = b"PAR1"
_MOST_LAYERS = 3
_SKIP_BYTES = 8 << 20

# What the libraries raise for damaged data.
ERRORS = (pa.ArrowException, EOFError, OSError, lzma.LZMAError, zipfile.BadZipFile, NotImplementedError)


class Readable(Protocol):
    """A file that can be read in blocks."""

    def read(self, size: int, /) -> bytes:
        """Returns at most `size` bytes, and none at the end."""
        ...


def kind_of(head: bytes) -> str | None:
    """Returns the compression of a file that begins with `head`, or None."""
    if head.startswith(b"BZh") and head[4:10] in _BZ2_BLOCKS:
        return "bz2"
    return next((kind for magic, kind in _MAGIC.items() if head.startswith(magic)), None)


def suffix_kind(name: str) -> str | None:
    """Returns the compression that the name of a file announces, or None."""
    return next((kind for suffix, kind in SUFFIXES.items() if name.lower().endswith(suffix)), None)


def without_suffix(name: str) -> str:
    """Returns a name without the suffixes of compressions."""
    while suffix_kind(name):
        name = name[: name.rindex(".")]
    return name


def opened(raw: Any, file: str, size: int, start: int = 0, in_archive: bool = False) -> Readable:
    """Returns the content of a file from byte `start`, without its compression.

    Args:
      raw: the file, which can be read and sought.
      file: path of the file, for messages.
      size: size of the file in bytes.
      start: first byte of the content.
      in_archive: whether the file is a member of an archive.
      in_archive: whether the file is a member of an archive.

    Raises:
      InputError: while it is read, if it expands beyond MAX_RATIO and MAX_BYTES.
    """
    head = raw.read(HEAD_BYTES)
    raw.seek(0)
    if kind_of(head) is None and not in_archive:
        raw.seek(start)
        return raw
    stream = _Joined(b"", raw)
    for _ in range(_MOST_LAYERS):
        kind = kind_of(head)
        if kind is None:
            break
        stream = _Joined(b"", _decoder(kind, stream, file))
        head = stream.peek(HEAD_BYTES)
    guarded = _Guarded(stream, file, size)
    while start:
        start -= len(guarded.read(min(start, _SKIP_BYTES)))
    return guarded


def _decoder(kind: str, stream: Any, file: str) -> Readable:
    if kind == "zip":
        raise InputError(f"data.path: {file} holds a zip archive inside another compression. Unpack one of them")
    if kind == "bz2":
        return bz2.BZ2File(stream)
    if kind == "xz":
        return lzma.LZMAFile(stream)
    return pa.CompressedInputStream(stream, kind)


class _Joined:
    """A stream that can be peeked. It is enough of a Python file for the decoders."""

    closed = False

    def __init__(self, head: bytes, stream: Readable) -> None:
        self._head = head
        self._stream = stream

    def peek(self, size: int) -> bytes:
        """Returns the next bytes without reading them."""
        while len(self._head) < size and (data := self._stream.read(size - len(self._head))):
            self._head += data
        return self._head

    def read(self, size: int, /) -> bytes:
        """Returns `size` bytes, and fewer only at the end."""
        data, self._head = self._head[:size], self._head[size:]
        while len(data) < size and (more := self._stream.read(size - len(data))):
            data = data + more if data else more
        return data

    def readable(self) -> bool:
        """Returns True."""
        return True

    def seekable(self) -> bool:
        """Returns False."""
        return False

    def close(self) -> None:
        """Leaves the stream open. Its owner closes it."""


class _Guarded:
    """Decompressed data that must not exceed the limits."""

    def __init__(self, stream: Readable, file: str, size: int) -> None:
        self._stream = stream
        self._file = file
        self._limit = max(MAX_BYTES, MAX_RATIO * size)
        self._read = 0

    def read(self, size: int, /) -> bytes:
        """Returns at most `size` bytes."""
        data = self._stream.read(size)
        self._read += len(data)
        if self._read > self._limit:
            raise InputError(
                f"data.path: {self._file} expands to more than {MAX_RATIO} times its size and more than "
                f"{MAX_BYTES >> 20:,} MB. If this is right, decompress it before the run"
            )
        return data
