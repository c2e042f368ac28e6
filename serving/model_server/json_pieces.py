"""Parses large JSON documents in pieces, so that other threads run in between.

A parser holds Python's global lock until it returns. For a body of tens of megabytes, every other request would wait.
A document is cut at commas outside strings. Each piece is completed with the brackets that are open at its ends, parsed
on its own, and joined to the result.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any

import numpy as np

from serving.model_server.buffers import SMALL_BYTES
from serving.model_server.faults import invalid

PIECE_BYTES = SMALL_BYTES
_DEEPEST = 200
_QUOTE, _BACKSLASH, _COMMA = b'"\\,'
_IS_BRACKET = np.zeros(256, bool)
_IS_BRACKET[list(b"[]{}")] = True
_CLOSERS = bytes.maketrans(b"[{", b"]}")
# The key under which a piece continues the value that the piece before it left open. No client can know it.
_OPEN = secrets.token_hex(8)

Parse = Callable[[bytes], Any]


def parse(body: bytes | bytearray | memoryview, parse_piece: Parse) -> Any:
    """Parses a document.

    Args:
      body: the document.
      parse_piece: parses a small document.

    Returns:
      What `parse_piece` would return for all of `body`.

    Raises:
      Fault: `body` is not JSON.
    """
    view = memoryview(body)
    document: Any = None
    open_before, start = b"", 0
    while True:
        size = PIECE_BYTES
        while True:
            end = min(start + size, len(body))
            piece = bytes(view[start:end])
            comma, brackets = _cut(piece)
            if end == len(body) or comma >= 0:
                break
            size *= 2  # a longer string
        last = end == len(body)
        text = piece if last else piece[:comma]
        brackets = brackets if last else _cut(text)[1]
        open_after = _still_open(open_before + brackets)
        if last and open_after:
            raise invalid("JSON Parse error: unexpected end of data")
        if start and (text.lstrip()[:1] in (b"", b"]", b"}", b",")):
            raise invalid("JSON Parse error: a comma is not followed by a value")
        if not last and text.rstrip()[-1:] in (b"", b"[", b"{", b",", b":"):
            raise invalid("JSON Parse error: a comma does not follow a value")
        parsed = parse_piece(_opened(open_before) + text + open_after[::-1].translate(_CLOSERS))
        document = parsed if not start else _joined(document, parsed, open_before)
        if last or not open_after:  # what follows the document is ignored
            return document
        open_before, start = open_after, start + comma + 1


def _cut(piece: bytes) -> tuple[int, bytes]:
    """Returns the position of the last comma outside strings, or -1, and the brackets outside strings."""
    codes = np.frombuffer(piece, np.uint8)
    quotes = codes == _QUOTE
    slashes = codes == _BACKSLASH
    if slashes.any():
        # A quote is escaped if the run of backslashes before it has an odd length.
        positions = np.arange(len(codes))
        run_start = np.maximum.accumulate(np.where(slashes, -1, positions))
        before = np.concatenate([[0], (positions - run_start)[:-1]])
        quotes &= before % 2 == 0
    outside = ~np.bitwise_xor.accumulate(quotes)
    commas = np.flatnonzero((codes == _COMMA) & outside)
    return (int(commas[-1]) if len(commas) else -1), codes[_IS_BRACKET[codes] & outside].tobytes()


def _still_open(brackets: bytes) -> bytes:
    """Removes pairs of brackets. Returns the ones that stay open."""
    for _ in range(_DEEPEST):
        fewer = brackets.replace(b"[]", b"").replace(b"{}", b"")
        if len(fewer) == len(brackets):
            break
        brackets = fewer
    if len(brackets) > _DEEPEST:
        raise invalid("JSON Parse error: the lists and objects are nested too deeply")
    closed = next((at for at, code in enumerate(brackets) if code in b"]}"), None)
    return brackets if closed is None else b""


def _opened(brackets: bytes) -> bytes:
    """Returns text that opens the brackets. An object that is not the innermost gets the open value under `_OPEN`."""
    inner = f'{{"{_OPEN}":'.encode()
    return b"".join(
        b"[" if code == ord("[") else inner if at < len(brackets) - 1 else b"{" for at, code in enumerate(brackets)
    )


def _joined(document: Any, more: Any, brackets: bytes) -> Any:
    """Adds a piece to the values that were open before it."""
    into = document
    for code in brackets[:-1]:
        if code == ord("["):
            inner, first = into[-1], more[0]
            into.extend(more[1:])
            into, more = inner, first
        else:
            key = next(reversed(into))
            inner, first = into[key], more.pop(_OPEN)
            into.update(more)
            into, more = inner, first
    into.update(more) if isinstance(into, dict) else into.extend(more)
    return document
