"""A run that a library does not let end: the process ends, with its children, its record and the right exit code."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from pipeline.running import stopping

# What the main thread does when the signal arrives.
_STUCK = {
    "ignores the exception": """
while True:
    try:
        time.sleep(60)
    except KeyboardInterrupt:
        pass
""",
    "is in C code": "hashlib.pbkdf2_hmac('sha256', b'', b'', 10**9)",
    "waits for threads at its end": "threading.Thread(target=time.sleep, args=(60,)).start()\ntime.sleep(60)",
}
_SCRIPT = """
import hashlib, pathlib, subprocess, sys, threading, time
from pipeline.running.stopping import stoppable
child = subprocess.Popen(["sleep", "600"])
def conclude(stop):
    pathlib.Path(sys.argv[1]).write_text(stop.reason())
with stoppable(conclude):
    print(child.pid, flush=True)
"""
_LIMIT = 20.0  # of seconds on a busy machine. Without the promise, it is a minute or more


@pytest.mark.parametrize(
    ("stuck", "number", "code"),
    [*zip(_STUCK, (signal.SIGTERM, signal.SIGHUP, signal.SIGINT), (143, 129, 1), strict=True)],
)
def test_process_ends_whatever_the_main_thread_does(
    tmp_path: Path, stuck: str, number: signal.Signals, code: int
) -> None:
    process, child = _start(tmp_path / "record", _STUCK[stuck])
    process.send_signal(number)
    assert process.wait(_LIMIT) == code
    assert not child.is_running()
    what = "interrupted" if number is signal.SIGINT else f"stopped by {number.name}"
    assert (tmp_path / "record").read_text() == f"{what}. Rerun the command to resume. Finished components are reused"


def test_second_signal_ends_process_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    process, child = _start(tmp_path / "record", _STUCK["ignores the exception"], "stopping.GRACE = 600")
    process.send_signal(signal.SIGTERM)
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    assert process.wait(_LIMIT) == 143  # the first signal is the reason
    assert not child.is_running()


def test_unstopped_process_ends_by_itself(tmp_path: Path) -> None:
    process, child = _start(tmp_path / "record", "pass\nprint('after')")
    assert process.wait(_LIMIT) == 0
    assert child.is_running() and not (tmp_path / "record").exists()
    child.kill()


def test_process_that_stops_in_time_ends_its_children(tmp_path: Path) -> None:
    process, child = _start(tmp_path / "record", "time.sleep(60)")
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=_LIMIT)
    assert process.returncode == 143 and b"stopped by SIGTERM. Rerun the command" in errors
    assert not child.is_running() and not (tmp_path / "record").exists()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_signal_is_passed_on_to_child(number: signal.Signals, code: int) -> None:
    handlers = {one: signal.signal(one, signal.SIG_DFL) for one in (signal.SIGTERM, signal.SIGHUP)}
    try:
        assert stopping.run_child([sys.executable, "-c", _SIGNALS_PARENT, str(int(number))]) == code
    finally:
        for one, handler in handlers.items():
            signal.signal(one, handler)


_SIGNALS_PARENT = """
import os, signal, sys, time
for one in (signal.SIGTERM, signal.SIGHUP):
    signal.signal(one, lambda number, _: sys.exit(128 + number))
os.kill(os.getppid(), int(sys.argv[1]))
for _ in range(600):  # a signal just before a sleep does not end that sleep
    time.sleep(0.1)
"""


def _start(record: Path, code: str, first: str = "") -> tuple[subprocess.Popen[bytes], psutil.Process]:
    """Starts a process that runs `code` in the block. Returns it when it is there, and its child."""
    lines = "\n".join(f"    {line}" for line in code.splitlines())
    script = f"from pipeline.running import stopping\n{first}\n{_SCRIPT}{lines}\n"
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(record)], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        # The tests may run under nohup or in the background, where signals are ignored.
        preexec_fn=lambda: [signal.signal(one, signal.SIG_DFL) for one in (signal.SIGHUP, signal.SIGINT)],
    )  # fmt: skip
    assert process.stdout is not None
    child = psutil.Process(int(process.stdout.readline()))
    time.sleep(0.2)
    return process, child
