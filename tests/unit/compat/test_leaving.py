"""A process that leaves quickly does all that people and other code see of an end. Each test starts a process."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

SCRIPT = """
import sys
from compat.leaving import leave_quickly
leave = leave_quickly()
import atexit, threading, time

class Freed:
    def __del__(self):
        print("freed", flush=True)

freed = Freed()
atexit.register(lambda: print("handler"))
threading.Thread(target=lambda: (time.sleep(0.1), print("thread"))).start()
try:
    END
except SystemExit as end:
    leave(end.code)
    raise
"""


@pytest.mark.parametrize(
    ("end", "code", "printed"),
    [
        ("sys.exit(3)", 3, ["thread", "handler"]),
        ("sys.exit(0)", 0, ["thread", "handler"]),
        ("1 / 0", 1, ["thread", "handler", "freed"]),
        ("pass", 0, ["thread", "handler", "freed"]),
    ],
)
def test_only_freeing_is_left_out(end: str, code: int, printed: list[str]) -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT.replace("END", end)], capture_output=True, text=True)
    assert (done.returncode, done.stdout.split()) == (code, printed)
    assert ("ZeroDivisionError" in done.stderr) == (end == "1 / 0")


def test_unwritten_output_still_changes_the_exit_code() -> None:
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    script = SCRIPT.replace("END", "sys.exit(0)").replace('print("freed", flush=True)', "pass")
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-c", script], stdout=full, stderr=subprocess.PIPE, text=True, env=buffered
        )
    assert done.returncode == 120
    assert "No space left on device" in done.stderr
