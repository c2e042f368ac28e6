"""What a person sees while a run goes on: a live line per component, and plain words at the end."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import IO

from rich.console import Console
from rich.markup import escape
from rich.progress import Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

_STYLES = {"executed": "green", "succeeded": "green", "cached": "cyan", "skipped": "yellow", "failed": "red"}


class RunConsole:
    """The lines of a run on the terminal (stderr)."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def say(self, text: str, style: str = "") -> None:
        """A plain line."""
        self._console.print(escape(text), style=style or None, soft_wrap=True, highlight=False)

    @contextlib.contextmanager
    def component(self, node_id: str) -> Iterator[None]:
        """A spinner with the seconds of `node_id` while it runs; nothing where the output is no terminal."""
        with self.running() as show:
            show([node_id])
            yield

    @contextlib.contextmanager
    def running(self) -> Iterator[Callable[[Collection[str]], None]]:
        """A spinner each for what runs at the same time; the yielded function is told the names as they change."""
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
        """The line that stays: component, state, seconds, what it handled."""
        style = _STYLES[state]
        line = f"  {node_id:<20} [{style}]{state:<9}[/{style}] {seconds:6.1f} s  {escape(detail)}"
        self._console.print(line.rstrip(), soft_wrap=True, highlight=False)


@contextlib.contextmanager
def library_chatter_to(log: Path) -> Iterator[Console]:
    """Sends everything that is written to stdout and stderr, C++ libraries included, to the file `log`.

    Yields:
      A console on the terminal as it was.
    """
    with open(log, "ab", buffering=0) as sink, _terminal() as terminal:
        sys.stdout.flush()
        sys.stderr.flush()
        saved = os.dup(1), os.dup(2)
        try:
            os.dup2(sink.fileno(), 1)
            os.dup2(sink.fileno(), 2)
            yield Console(file=terminal)
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            for number, descriptor in enumerate(saved, start=1):
                os.dup2(descriptor, number)
                os.close(descriptor)


@contextlib.contextmanager
def _terminal() -> Iterator[IO[str]]:
    with os.fdopen(os.dup(2), "w", encoding="utf-8", errors="replace", buffering=1) as terminal:
        yield terminal
