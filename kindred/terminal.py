"""Prints lines. On a terminal, characters that would command it are shown and not sent.

An id, a column or a file name comes from data. One with an escape sequence could rewrite the lines above it, set the
title of the window, or reverse the order of the text. A file or a pipe gets every byte as it is.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import TracebackType

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


def fitted(text: str, width: int) -> str:
    """Breaks lines that are wider than the terminal, between words. A longer word, such as a path, stays whole.

    The command lines of this program are broken so that a shell reads them as one.

    Args:
      text: a line, or several.
      width: the columns of the terminal.
    """
    from rich.cells import cell_len

    from kindred.invocation import command

    program = f"{command()} "
    lines = []
    for line in text.split("\n"):
        if cell_len(line) <= width:
            lines.append(line)
        elif line.lstrip().startswith(program):
            lines += _broken([shlex.quote(word) for word in shlex.split(line)], line, width, " \\")
        else:
            lines += _broken(line.split(), line, width, "")
    return "\n".join(lines)


def _broken(words: list[str], line: str, width: int, end: str) -> Iterator[str]:
    """Yields lines of words. All but the first are indented further. All but the last have `end`."""
    from rich.cells import cell_len

    margin = line[: len(line) - len(line.lstrip())]
    current = margin + words[0]
    for word in words[1:]:
        if cell_len(f"{current} {word}{end}") > width:
            yield current + end
            current = f"{margin}  {word}"
        else:
            current += f" {word}"
    yield current


def say(text: object, err: bool = False, fit: bool = True) -> None:
    """Prints a line. On a terminal, it is broken between words.

    Args:
      text: the line, or several. Surrogates stand for undecodable bytes, as `os.fsdecode` makes them.
      err: whether to print to stderr.
      fit: whether a terminal may break lines. JSON stays as it is.
    """
    stream = sys.stderr if err else sys.stdout
    line = f"{text}\n"
    if stream.isatty():
        line = printable(line)
        line = fitted(line, shutil.get_terminal_size().columns) if fit else line
    binary = getattr(stream, "buffer", None)
    if binary is None:  # a stream of text that replaces the real one
        stream.write(printable(line))
    else:
        stream.flush()
        binary.write(os.fsencode(line))
    stream.flush()


def log(text: object, err: bool = True) -> None:
    """Prints a line to the log of a task or of a server. It is safe in any case, because people read logs on terminals.

    Args:
      text: the line, or several.
      err: whether to print to stderr.
    """
    print(printable(str(text)), file=sys.stderr if err else sys.stdout, flush=True)


def show_exception(kind: type[BaseException], error: BaseException, where: TracebackType | None) -> None:
    """Prints a traceback, whose message may have text from data. A value of `sys.excepthook`."""
    import traceback

    say("".join(traceback.format_exception(kind, error, where)).rstrip("\n"), err=True, fit=False)
