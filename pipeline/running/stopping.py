"""Ends a run on a signal with a record, a message, the exit code that shells expect, and without its children."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import psutil

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_END = 0  # no signal has this number

GRACE = 1.2
"""Seconds from the first signal until a process that belongs to its run ends, whatever a library does meanwhile."""


class Stop:
    """Which signal asked the run to end, if any."""

    def __init__(self) -> None:
        self._number: signal.Signals | None = None

    def request(self, number: int, _: Any = None) -> None:
        """Handles a signal.

        Raises:
          KeyboardInterrupt: always. It ends what the run does, like Ctrl-C.
        """
        self.note(number)
        raise KeyboardInterrupt

    def note(self, number: int) -> None:
        """Keeps which signal arrived first."""
        self._number = self._number or signal.Signals(number)

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
def stoppable(conclude: Callable[[Stop], None] | None = None) -> Iterator[Stop]:
    """Turns signals into an exception inside the block. Python handles signals in its main thread only.

    An ignored signal stays ignored, as `nohup` wants it.

    Args:
      conclude: writes the record of a run that did not end by itself in time. If given, the process and its children
        end `GRACE` seconds after the first signal, or at the second one, also if that is after the block.

    Raises:
      SystemExit: `conclude` is given, and a signal ended the block.
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
        with _watched(stop, handled, conclude) if conclude else contextlib.nullcontext():
            yield stop
    except KeyboardInterrupt:
        if conclude is None or stop.reason() is None:
            raise
        print(stop.reason(), file=sys.stderr)
        raise SystemExit(stop.exit_code) from None
    finally:
        if conclude and stop.reason():
            end_children()
        for number in handled:
            signal.signal(number, before[number])


@contextlib.contextmanager
def _watched(stop: Stop, handled: set[signal.Signals], conclude: Callable[[Stop], None]) -> Iterator[None]:
    """Starts a thread that learns of signals at once. The main thread may be in C++ code or wait for other threads."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    before = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    threading.Thread(target=_watch, args=(reader, stop, handled, conclude), daemon=True).start()
    try:
        yield
    finally:
        if stop.reason() is None:
            signal.set_wakeup_fd(before)
            os.write(writer, bytes([_END]))
        # Otherwise the thread ends the process, and a second signal reaches it until then.


def _watch(reader: int, stop: Stop, handled: set[signal.Signals], conclude: Callable[[Stop], None]) -> None:
    while (number := os.read(reader, 1)[0]) not in handled:
        if number == _END:
            return
    stop.note(number)
    second = threading.Thread(target=os.read, args=(reader, 1), daemon=True)
    second.start()
    second.join(GRACE)
    try:
        conclude(stop)
    finally:
        end_children()
        os._exit(stop.exit_code)


def end_children(patience: float = 0.2) -> None:
    """Ends all descendants of this process. Kills those that are alive after `patience` seconds."""
    children = psutil.Process().children(recursive=True)
    for child in children:
        with contextlib.suppress(psutil.Error):
            child.terminate()
    for child in psutil.wait_procs(children, patience)[1]:
        with contextlib.suppress(psutil.Error):
            child.kill()


def run_child(words: Sequence[str]) -> int:
    """Runs a command, and passes signals on to it. Returns its exit code.

    A terminal sends Ctrl-C to the child, too.
    """
    process = subprocess.Popen(words)
    before = {
        number: signal.signal(number, lambda got, _: None if got == signal.SIGINT else process.send_signal(got))
        for number in _SIGNALS
        if signal.getsignal(number) is not signal.SIG_IGN
    }
    try:
        return process.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
