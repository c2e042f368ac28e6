"""Reads the beginning of a text file."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from components.pair_example_gen import files
from components.pair_example_gen.compression import Readable
from components.pair_example_gen.records import Block
from errors import InputError

_BOM = b"\xef\xbb\xbf"
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
_HEAD_BYTES = 2 << 20


def first_block(file: str, blocks: Callable[[Readable, int], Iterator[Block]]) -> tuple[Block, int]:
    """Returns the first records of a text file, and the byte where they begin, after a byte order mark.

    Args:
      file: path of the file.
      blocks: yields the records of a stream that begins on the given line.

    Raises:
      InputError: the file is unreadable, empty or not UTF-8, or its lines end in carriage returns.
    """
    with files.readable(file), files.byte_stream(file) as stream:
        head = stream.read(_HEAD_BYTES)
    start = len(_BOM) if head.startswith(_BOM) else 0
    if head.startswith(_UTF_16):
        raise InputError(f"data.path: {file} is UTF-16. Save it as UTF-8")
    block = next((block for block in blocks(_Bytes(head[start:]), 1) if len(block)), None)
    if block is None:
        raise InputError(f"data.path: {file} is empty. Training needs at least one row")
    if b"\r" in head and b"\n" not in head:
        raise InputError(f"data.path: {file}: lines end in carriage returns only. Convert them to line feeds")
    return block, start


class _Bytes:
    """Bytes in memory, read once."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def read(self, size: int, /) -> bytes:
        """Returns all bytes the first time, and none after that."""
        data, self._data = self._data, b""
        return data
