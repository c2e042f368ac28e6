"""Lays rows out for a terminal: a table if it fits, otherwise a block for each row. No word is broken."""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Sequence

from rich.cells import cell_len

_GAP = "  "
_UNLIMITED = 10_000


def lay_out(head: Sequence[str], rows: Sequence[Sequence[str]], width: int | None = None) -> list[str]:
    """Returns the lines of a table.

    Args:
      head: the names of the columns.
      rows: the cells of each row, as text.
      width: the columns of the terminal. None: those of this one, and no limit for a file or a pipe.

    Returns:
      A line for the head and for each row if all fit. Otherwise a block for each row: its first cell, then a line for
      each other cell that is not empty, with its name, wrapped between words.
    """
    width = terminal_width() if width is None else width
    lines = aligned([head, *rows])
    if all(cell_len(line) <= width for line in lines):
        return lines
    return [line for row in rows for line in _block(head, row, width)]


def terminal_width() -> int:
    """Returns the columns of the terminal, and no limit for a file or a pipe."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else _UNLIMITED


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Returns a line for each row, whose cells begin in the same columns."""
    widths = [max(map(cell_len, column)) for column in zip(*rows, strict=True)]
    padded = ([cell + " " * (w - cell_len(cell)) for cell, w in zip(row, widths, strict=True)] for row in rows)
    return [_GAP.join(cells).rstrip() for cells in padded]


def _block(head: Sequence[str], row: Sequence[str], width: int) -> list[str]:
    margin = max(map(len, head[1:])) + 2 * len(_GAP)
    lines = [row[0]]
    for name, cell in zip(head[1:], row[1:], strict=True):
        if cell:
            first = f"{_GAP}{name}".ljust(margin)
            lines += textwrap.wrap(
                cell,
                width,
                initial_indent=first,
                subsequent_indent=" " * margin,
                break_long_words=False,
                break_on_hyphens=False,
            )
    return lines
