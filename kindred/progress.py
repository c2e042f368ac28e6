"""What a long node does: lines, and how far it is. A run shows both on its console, and a task of a cluster in its log.

A node counts what it has done. An observer, such as the console on a terminal, gets the count a few times per second.
If nobody does, a line says it twice a minute.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import threading
import time
from collections.abc import Callable, Iterator

LOGGER = logging.getLogger("kindred.progress")
LOGGER.setLevel(logging.INFO)

_WATCHED_SECONDS = 0.2
_LOGGED_SECONDS = 30.0


def show(line: str) -> None:
    """Shows a line."""
    LOGGER.info(line)


@dataclasses.dataclass
class Count:
    """How far some work is.

    Attributes:
      unit: what is counted, such as `rows`.
      total: the whole work: the number of units, or of what measures it better, such as bytes.
      since: the `time.monotonic` of the start.
      done: the number of units so far.
      worked: the work so far, in the unit of `total`.
      measured: whether `total` is a number of units.
    """

    unit: str
    total: int
    since: float
    measured: bool = True
    done: int = 0
    worked: int = 0

    def describe(self, now: float) -> str:
        """Returns text such as "1,200,000 of 5,000,000 rows, 400,000/s, 9 s left"."""
        seconds = max(now - self.since, 1e-9)
        share = self.worked / self.total if self.total else 0.0
        whole = f" of {self.total:,}" if self.measured else ""
        percent = f" ({min(share, 1.0):.0%})" if share and not self.measured else ""
        facts = [f"{self.done:,}{whole} {self.unit}{percent}"]
        if self.done:
            rate = self.done / seconds
            facts.append(f"{rate:,.0f}/s" if rate >= 10 else f"{1 / rate:,.1f} s each")
        if 0 < share < 1 and seconds > 1:
            facts.append(f"{_duration(seconds / share - seconds)} left")
        return ", ".join(facts)


class _Counter:
    """The work that goes on, and who watches it. Threads of a node share it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: list[Count] = []
        self._watchers: list[Callable[[str], None]] = []
        self._told = 0.0

    def begin(self, count: Count) -> None:
        with self._lock:
            self._counts.append(count)
            self._told = count.since

    def end(self, count: Count) -> None:
        with self._lock:
            self._counts.remove(count)
        for watcher in list(self._watchers):
            watcher("")

    def advance(self, unit: str, done: int, worked: int) -> None:
        with self._lock:
            count = next((count for count in reversed(self._counts) if count.unit == unit), None)
            if count is None:
                return
            now = time.monotonic()
            count.done += done
            count.worked += worked
            if now - self._told < (_WATCHED_SECONDS if self._watchers else _LOGGED_SECONDS):
                return
            self._told, watchers = now, list(self._watchers)
            text = "; ".join(count.describe(now) for count in self._counts)
        for watcher in watchers:
            watcher(text)
        if not watchers:
            LOGGER.info(text)

    @contextlib.contextmanager
    def watched(self, watcher: Callable[[str], None]) -> Iterator[None]:
        self._watchers.append(watcher)
        try:
            yield
        finally:
            self._watchers.remove(watcher)


_COUNTER = _Counter()


@contextlib.contextmanager
def counted(unit: str, total: int, measured: bool = True) -> Iterator[None]:
    """Counts work inside the block. `advance` says how much is done.

    Args:
      unit: what is counted, such as `rows`.
      total: the whole work.
      measured: whether `total` is a number of units. Otherwise `advance` gets the work too, such as bytes.
    """
    count = Count(unit, total, time.monotonic(), measured)
    _COUNTER.begin(count)
    try:
        yield
    finally:
        _COUNTER.end(count)


def advance(unit: str, done: int, worked: int | None = None) -> None:
    """Adds finished work to the innermost `counted` block of a unit. Does nothing without one, as in other processes.

    Args:
      unit: what is counted.
      done: the number of units.
      worked: the work in the unit of the total, if that counts something else.
    """
    _COUNTER.advance(unit, done, done if worked is None else worked)


def watched(watcher: Callable[[str], None]) -> contextlib.AbstractContextManager[None]:
    """Calls `watcher` with a description of the work that goes on, and with "" at its end, inside the block."""
    return _COUNTER.watched(watcher)


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02} min"
