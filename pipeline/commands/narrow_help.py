"""Help for narrow terminals. The tables of Typer cut the names of options there."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

from kindred.terminal import fitted

WIDTH = 100
"""In terminals of at least this many columns, Typer's tables cut nothing."""
_INDENT = " " * 4


def fit_help(command: Any, width: int) -> None:
    """Lets a command of Typer, and those below it, print their help as lines that fit.

    Args:
      command: the command. Typer has its own copy of Click's classes, so they have no public type.
      width: the columns of the terminal.
    """
    command.format_help = functools.partial(_write_help, command, width)
    for below in getattr(command, "commands", {}).values():
        fit_help(below, width)


def _write_help(command: Any, width: int, context: Any, formatter: Any) -> None:
    formatter.write("\n".join(fitted(line, width) for line in _lines(command, context)) + "\n")


def _lines(command: Any, context: Any) -> Iterator[str]:
    yield f"Usage: {context.command_path} {' '.join(command.collect_usage_pieces(context))}"
    yield ""
    yield from (command.help or "").splitlines()
    commands = getattr(command, "commands", {})
    if commands:
        yield "\nCommands:"
    for name, below in commands.items():
        yield f"  {name}"
        yield f"{_INDENT}{below.get_short_help_str(limit=1000)}"
    yield "\nOptions:"
    for parameter in command.get_params(context):
        if record := parameter.get_help_record(context):
            names, meaning = record
            yield f"  {names}"
            yield f"{_INDENT}{meaning}"
