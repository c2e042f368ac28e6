"""Prints lines. On a terminal, characters that would command it are shown and not sent.

An id, a column or a file name comes from data. One with an escape sequence could rewrite the lines above it, set the
title of the window, or reverse the order of the text. A file or a pipe gets every byte as it is.
"""

from __future__ import annotations

import os
import re
import sys

# C0 except tab and newline, DEL, C1, the marks, embeddings and isolates that change the direction of text, the
# separators of lines and paragraphs, and undecodable bytes, which Python reads as lone surrogates.
_COMMANDS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def printable(text: str) -> str:
    """Returns `text` with every character that commands a terminal as its code in Python's notation."""
    return _COMMANDS.sub(lambda match: _notation(ord(match[0])), text)


def _notation(code: int) -> str:
    if 0xDC80 <= code <= 0xDCFF:  # an undecodable byte
        code -= 0xDC00
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def say(text: object, err: bool = False) -> None:
    """Prints a line.

    Args:
      text: the line, or several. Surrogates stand for undecodable bytes, as `os.fsdecode` makes them.
      err: whether to print to stderr.
    """
    stream = sys.stderr if err else sys.stdout
    line = f"{text}\n"
    if stream.isatty():
        line = printable(line)
    binary = getattr(stream, "buffer", None)
    if binary is None:  # a stream of text that replaces the real one
        stream.write(printable(line))
    else:
        stream.flush()
        binary.write(os.fsencode(line))
    stream.flush()
