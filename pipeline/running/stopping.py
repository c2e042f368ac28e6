"""Ends a run on a signal with a record, a message, the exit code that shells expect, and without its children."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from typing import Any

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stop:
    """Which signal asked the run to end, if any."""

    def __init__(self) -> None:
        self._number: signal.Signals | None = None

    def request(self, number: int, _: Any = None) -> None:
        """Handles a signal.

        Raises:
          KeyboardInterrupt: always. It ends what the run does, like Ctrl-C.
        """
        self._number = signal.Signals(number)
        raise KeyboardInterrupt

    def reason(self) -> str | None:
        """Returns why the run ended, for its record, or None if no signal has arrived."""
        if self._number is None:
            return None
        what = "interrupted" if self._number is signal.SIGINT else f"stopped by {self._number.name}"
        return f"{what}. Rerun the command to resume. Finished components are reused"

    @property
    def exit_code(self) -> int:
        """128 plus the number of the signal, as shells do. 1 for Ctrl-C."""
        return 1 if self._number in (None, signal.SIGINT) else 128 + int(self._number)


@contextlib.contextmanager
def stoppable() -> Iterator[Stop]:
    """Turns signals into an exception inside the block. Python handles signals in its main thread only.

    An ignored signal stays ignored, as `nohup` wants it.
    """
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    handled = {number for number, handler in before.items() if handler is not signal.SIG_IGN}
    for number in handled:
        signal.signal(number, stop.request)
    try:
        yield stop
    finally:
        for number in handled:
            signal.signal(number, before[number])
