"""Paths of the setup, and its steps: running a program, its log, and the progress on stderr.

`create_venv.py` imports it before any package is installed. The same rules apply: only the standard library, and
syntax that Python 3.6 parses.
"""

import contextlib
import fcntl
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(os.path.abspath(__file__)).parent.parent
BUILD = ROOT / "build"
VENV = ROOT / ".venv"
LOG = BUILD / "setup.log"


class StepError(Exception):
    """A step of the setup failed. The message names the step and its log. Exit code 1."""


def run(command: "list[str]", what: str) -> None:
    """Runs the program of a step, and logs its output.

    Raises:
        StepError: the program failed. The message has the last lines of its output.
    """
    excluded = ("VIRTUAL_ENV", "UV_PYTHON", "UV_PROJECT_ENVIRONMENT", "PYTHONHOME", "PYTHONPATH")
    environment = {name: value for name, value in os.environ.items() if name not in excluded}
    environment["UV_PROJECT_ENVIRONMENT"] = str(VENV)
    with LOG.open("ab") as log:
        log.write("$ {}\n".format(" ".join(command)).encode())
        log.flush()
        start = log.tell()
        code = subprocess.call(command, cwd=str(ROOT), env=environment, stdout=log, stderr=subprocess.STDOUT)
    if code != 0:
        with LOG.open("rb") as log:
            log.seek(start)
            last = log.read().decode(errors="replace").rstrip().splitlines()[-12:]
        raise StepError("\n".join([*last, f"{what} failed. The complete output is in {LOG}."]))


@contextlib.contextmanager
def only_one() -> "Iterator[None]":
    """Lets only one setup run at a time, because two would write the same files."""
    with (BUILD / "setup.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("Another make is setting up .venv. Waiting for it.")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def step(what: str) -> "Iterator[None]":
    """Prints the name of a step when it starts, and its seconds when it ends."""
    print(f"  {what} ...", end="", file=sys.stderr, flush=True)
    start = time.time()
    try:
        yield
    except BaseException:
        print(file=sys.stderr)
        raise
    say(f" {time.time() - start:.1f} s")


def say(text: str) -> None:
    """Prints to stderr, because stdout belongs to the command that make runs next."""
    print(text, file=sys.stderr, flush=True)
