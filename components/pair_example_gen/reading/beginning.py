"""Reads the beginning of a text file as UTF-8, from which its layout is recognized."""

from __future__ import annotations

import codecs
import contextlib
import dataclasses
from collections.abc import Callable, Iterator

from components.pair_example_gen import files
from components.pair_example_gen.reading.compression import Readable
from components.pair_example_gen.reading.encodings import WESTERN, is_western
from components.pair_example_gen.reading.records import Block
from errors import InputError

UTF_8 = "utf-8"
_BOM = codecs.BOM_UTF8
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_HEAD_BYTES = 2 << 20
_SKIP_BYTES = 8 << 20


@dataclasses.dataclass(frozen=True)
class Beginning:
    """The first lines of a text file.

    Attributes:
      data: whole lines in UTF-8, without a byte order mark.
      start: byte of the file, in UTF-8, where they begin.
      encoding: encoding of the file.
    """

    data: bytes
    start: int
    encoding: str

    def first_block(self, blocks: Callable[[Readable, int], Iterator[Block]]) -> Block | None:
        """Returns the first records, or None if there are none. `blocks` yields the records of a stream."""
        return next((block for block in blocks(_Bytes(self.data), 1) if len(block)), None)


def read_beginning(file: str, encoding: str) -> Beginning:
    """Returns the beginning of a file.

    Args:
      file: path of the file.
      encoding: its encoding, or `auto`: UTF-16 if it has the byte order mark of UTF-16, cp1252 if it is clearly that,
        and UTF-8 otherwise.

    Raises:
      InputError: the file is unreadable, empty or not in this encoding, or its lines end in carriage returns.
    """
    if encoding == "auto":
        with files.readable(file), files.byte_stream(file) as raw:
            encoding = _recognized(raw.read(_HEAD_BYTES))
    with files.readable(file), text_stream(file, encoding) as stream:
        head = stream.read(_HEAD_BYTES)
    start = len(_BOM) if head.startswith(_BOM) else 0
    if not head[start:].strip(b"\r\n"):
        raise InputError(f"data.path: {file} is empty. Training needs at least one row")
    if b"\r" in head and b"\n" not in head:
        raise InputError(f"data.path: {file}: lines end in carriage returns only. Convert them to line feeds")
    if encoding == UTF_8 and head.count(b"\0") > len(head) / 3:
        raise InputError(
            f"data.encoding: {file} looks like UTF-16, because many of its bytes are 0. Set data.encoding to utf-16-le"
        )
    whole_lines = head.rfind(b"\n") + 1 if len(head) >= _HEAD_BYTES else 0
    return Beginning(head[start : whole_lines or len(head)], start, encoding)


def _recognized(head: bytes) -> str:
    if head[:2] in _UTF_16:
        return "utf-16"
    try:
        codecs.getincrementaldecoder(UTF_8)().decode(head)
    except UnicodeDecodeError:
        return WESTERN if is_western(head) else UTF_8
    return UTF_8


@contextlib.contextmanager
def text_stream(file: str, encoding: str, start: int = 0) -> Iterator[Readable]:
    """Opens a text file as UTF-8, at byte `start` of this UTF-8."""
    if encoding == UTF_8:
        with files.byte_stream(file, start) as stream:
            yield stream
        return
    with files.byte_stream(file) as stream:
        recoded = _Recoded(stream, file, encoding)
        while start:
            start -= len(recoded.read(min(start, _SKIP_BYTES)))
        yield recoded


class _Recoded:
    """A stream in another encoding, as UTF-8."""

    def __init__(self, stream: Readable, file: str, encoding: str) -> None:
        self._stream = stream
        self._file = file
        self._encoding = encoding
        # A byte that is not in a table of characters spoils its row only. In UTF-16, it spoils all that follow.
        self._errors = "strict" if encoding.lower().startswith("utf") else "surrogateescape"
        self._decoder = codecs.getincrementaldecoder(encoding)(self._errors)
        self._held = b""
        self._ended = False

    def read(self, size: int, /) -> bytes:
        """Returns `size` bytes, and fewer only at the end."""
        parts = [self._held]
        held = len(self._held)
        while held < size and not self._ended:
            parts.append(self._recode(self._stream.read(size)))
            held += len(parts[-1])
        data = b"".join(parts)
        self._held = data[size:]
        return data[:size]

    def _recode(self, fresh: bytes) -> bytes:
        self._ended = not fresh
        try:
            return self._decoder.decode(fresh, final=self._ended).encode(errors=self._errors)
        except UnicodeError as error:
            reason = error.reason if isinstance(error, UnicodeDecodeError) else str(error)
            raise InputError(f"data.encoding: {self._file} is not {self._encoding}: {reason}. Correct it") from None


class _Bytes:
    """Bytes in memory, read once."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def read(self, size: int, /) -> bytes:
        """Returns all bytes the first time, and none after that."""
        data, self._data = self._data, b""
        return data
