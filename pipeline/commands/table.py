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
    width = _width() if width is None else width
    widths = [max(map(cell_len, column)) for column in zip(head, *rows, strict=True)]
    if sum(widths) + len(_GAP) * (len(widths) - 1) <= width:
        return [_line(row, widths) for row in (head, *rows)]
    return [line for row in rows for line in _block(head, row, width)]


def _width() -> int:
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else _UNLIMITED


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    cells = [cell + " " * (width - cell_len(cell)) for cell, width in zip(row, widths, strict=True)]
    return _GAP.join(cells).rstrip()


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
