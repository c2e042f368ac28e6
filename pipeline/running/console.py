"""The terminal output of a run: a live line per component."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import IO

from rich.console import Console
from rich.markup import escape
from rich.progress import Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from kindred import progress
from kindred.terminal import printable

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
    """Prints the lines of a run to the terminal (stderr)."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def say(self, text: str, style: str = "") -> None:
        """Prints a line."""
        self._console.print(escape(self._safe(text)), style=style or None, soft_wrap=True, highlight=False)

    def _safe(self, text: str) -> str:
        return printable(text) if self._console.is_terminal else text

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
        if not self._console.is_terminal:
            return contextlib.nullcontext()
        return progress.watched(lambda text: show([f"{node_id}  {text}" if text else node_id]))

    @contextlib.contextmanager
    def running(self) -> Iterator[Callable[[Collection[str]], None]]:
        """Shows a spinner for each of several concurrent tasks.

        Yields:
          A function that takes the current names whenever they change.
        """
        columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
        with Progress(*columns, console=self._console, transient=True, disable=not self._console.is_terminal) as bar:
            shown: dict[str, TaskID] = {}

            def show(names: Collection[str]) -> None:
                for name in shown.keys() - set(names):
                    bar.remove_task(shown.pop(name))
                for name in names:
                    if name not in shown:
                        shown[name] = bar.add_task(name, total=None)

            yield show

    def finished(self, node_id: str, state: str, seconds: float, detail: str) -> None:
        """Prints the final line of a component.

        Args:
          node_id: the component.
          state: executed, cached, skipped or failed.
          seconds: its duration.
          detail: a summary of its results.
        """
        style = _STYLES[state]
        line = f"  {node_id:<20} [{style}]{state:<9}[/{style}] {seconds:6.1f} s  {escape(self._safe(detail))}"
        self._console.print(line.rstrip(), soft_wrap=True, highlight=False)


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
