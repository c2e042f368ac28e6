"""The terminal output of a run: a live line per component."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import sys
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import IO

from rich.console import Console
from rich.markup import escape
from rich.progress import Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Column
from rich.text import Text

from kindred import progress
from kindred.terminal import fitted, printable

_WIDE = 80
"""In narrower terminals, the line of a component has its details below it."""
_STYLES = {"executed": "green", "succeeded": "green", "cached": "cyan", "skipped": "yellow", "failed": "red"}


class _Lines(logging.Handler):
    """Prints the lines of `kindred.progress`."""

    def __init__(self, show: Callable[[str], None]) -> None:
        super().__init__()
        self._show = show

    def emit(self, record: logging.LogRecord) -> None:
        """Prints a line."""
        self._show(f"    {record.getMessage()}")


class RunConsole:
    """Prints the lines of a run to the terminal (stderr).

    Args:
      console: the terminal.
      quiet: whether to print only warnings and errors.
    """

    def __init__(self, console: Console, quiet: bool = False) -> None:
        self._console, self._quiet = console, quiet
        self._live = console.is_terminal and not quiet

    def say(self, text: str, style: str = "", matters: bool = False) -> None:
        """Prints a line. A quiet console prints it only if it has a style or matters."""
        if self._quiet and not (style or matters):
            return
        self._console.print(escape(self._safe(text)), style=style or None, soft_wrap=True, highlight=False)

    def _safe(self, text: str) -> str:
        return fitted(printable(text), self._console.width) if self._console.is_terminal else text

    @contextlib.contextmanager
    def component(self, node_id: str) -> Iterator[None]:
        """Shows a spinner with the seconds of `node_id` inside the block, if the output is a terminal.

        The spinner also shows how far the node is. The lines that the node shows are printed in any case.
        """
        lines = _Lines(self.say)
        progress.LOGGER.addHandler(lines)
        try:
            with self.running() as show, self._counts(node_id, show):
                show([node_id])
                yield
        finally:
            progress.LOGGER.removeHandler(lines)

    def _counts(self, node_id: str, show: Callable[[Collection[str]], None]) -> contextlib.AbstractContextManager[None]:
        """Shows the counts of `kindred.progress`. Without a terminal, nobody watches, and they become rare lines."""
        if not self._live:
            return contextlib.nullcontext()
        return progress.watched(lambda text: show([f"{node_id}  {text}" if text else node_id]))

    @contextlib.contextmanager
    def running(self) -> Iterator[Callable[[Collection[str]], None]]:
        """Shows a spinner for each of several concurrent tasks.

        Yields:
          A function that takes the current names whenever they change.
        """
        whole = Column(overflow="fold")  # rather than cut
        columns = (SpinnerColumn(), TextColumn("{task.description}", table_column=whole), TimeElapsedColumn())
        with Progress(*columns, console=self._console, transient=True, disable=not self._live) as bar:
            shown: dict[str, TaskID] = {}

            def show(names: Collection[str]) -> None:
                for name in shown.keys() - set(names):
                    bar.remove_task(shown.pop(name))
                for name in names:
                    if name not in shown:
                        shown[name] = bar.add_task(escape(printable(name)), total=None)

            yield show

    def finished(self, node_id: str, state: str, seconds: float, detail: str) -> None:
        """Prints the final line of a component.

        Args:
          node_id: the component.
          state: executed, cached, skipped or failed.
          seconds: its duration.
          detail: a summary of its results.
        """
        if self._quiet:
            return
        style = _STYLES[state]
        line = f"  {node_id:<20} {state:<9} {seconds:6.1f} s  {detail}".rstrip()
        if self._console.is_terminal and self._console.width < _WIDE:
            line = f"  {node_id} {state} {seconds:.1f} s" + (f"\n    {detail}" if detail else "")
        shown = Text(self._safe(line))
        shown.highlight_regex(rf"(?<=^  {re.escape(node_id)})\s+{state}\b", style)
        self._console.print(shown, soft_wrap=True, highlight=False)


@contextlib.contextmanager
def redirect_output(log: Path) -> Iterator[Console]:
    """Redirects all writes to stdout and stderr, including those of C++ libraries, to a file.

    Args:
      log: the file.

    Yields:
      A console on the original terminal.
    """
    with open(log, "ab", buffering=0) as sink, _terminal() as terminal:
        _flush()
        saved = os.dup(1), os.dup(2)
        try:
            os.dup2(sink.fileno(), 1)
            os.dup2(sink.fileno(), 2)
            yield Console(file=terminal)
        finally:
            _flush()
            for number, descriptor in enumerate(saved, start=1):
                os.dup2(descriptor, number)
                os.close(descriptor)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):  # the disk of the log may be full
            stream.flush()


@contextlib.contextmanager
def _terminal() -> Iterator[IO[str]]:
    with os.fdopen(os.dup(2), "w", encoding="utf-8", errors="replace", buffering=1) as terminal:
        yield terminal
