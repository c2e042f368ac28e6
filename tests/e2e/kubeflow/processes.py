"""Starts the commands of tasks as processes, and kills those that a test selects.

Each command has an empty disk, which is removed at its end. The containers of a pod share no disk with other pods
(https://kubernetes.io/docs/concepts/storage/volumes/), and a further attempt is another pod: `processNodeRetries` in
Argo's workflow/controller/operator.go, 3.7.8, adds a child node, and each node of type Pod has a pod. Variables lead to
the disk as in deploy/Dockerfile. A path outside it stands for a volume, and `platform_spec` says whether there is one.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping

from tests.e2e.kubeflow import warm
from tests.e2e.kubeflow.launcher import Start

_LIMIT = 600
"""Seconds. A command that takes longer hangs."""


@dataclasses.dataclass
class _Kill:
    when: str | threading.Event
    done: bool = False

    def is_due(self, line: str) -> bool:
        return not self.done and isinstance(self.when, str) and self.when in line

    @property
    def has_happened(self) -> bool:
        return isinstance(self.when, threading.Event) and self.when.is_set()


class Processes:
    """The commands of one package's tasks.

    Args:
      environment: variables of all commands, in addition to those of this process.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = dict(environment)
        self._kills: dict[str, _Kill] = {}

    def kill_once(self, task: str, when: str | threading.Event) -> None:
        self._kills[task] = _Kill(when)

    def check_killed(self, log: str) -> None:
        """Prints the log and fails if a selected task was not killed, because the test would prove nothing."""
        missed = {task: kill.when for task, kill in self._kills.items() if not kill.done}
        self._kills.clear()
        if missed:
            raise AssertionError(f"never killed, as it did not happen, or they ended right after it: {missed}\n{log}")

    def starter(self, task: str, cold: bool) -> Start:
        """Returns the function that starts the commands of a task."""

        def start(words: list[str], variables: Mapping[str, str]) -> tuple[int, str]:
            program = sys.executable if words[0] in ("python", "python3") else words[0]
            if not shutil.which(program):
                raise FileNotFoundError(words[0])
            command = [program, *words[1:]]
            kill = self._kills.get(task)
            with _disk() as places:
                more = {**places, **self._environment, **variables}
                if cold or kill is not None or command[1:2] != ["-m"] or not command[2].startswith("pipeline."):
                    return _run(command, more, kill)
                return warm.run(command, more)

        return start


@contextlib.contextmanager
def _disk() -> Iterator[dict[str, str]]:
    """Yields the variables that lead to the empty disk of a pod. Its name is short, because sockets are below it."""
    with tempfile.TemporaryDirectory(prefix="pod-", dir="/tmp", ignore_cleanup_errors=True) as disk:
        home, temporary, cache = (os.path.join(disk, name) for name in ("home", "tmp", "tmp/cache"))
        for place in (home, temporary):
            os.mkdir(place)
        yield {"HOME": home, "TMPDIR": temporary, "XDG_CACHE_HOME": cache, "KINDRED_CACHE": ""}


def _run(command: list[str], variables: Mapping[str, str], kill: _Kill | None) -> tuple[int, str]:
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, **variables},
        start_new_session=True,
    )

    def kill_all() -> None:
        """Ends the command and its children, as the end of a container does."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)

    watch = threading.Timer(_LIMIT, kill_all)
    watch.start()
    output = ""
    sent = False
    ended = threading.Event()
    if kill is not None and not kill.done and isinstance(kill.when, threading.Event):
        threading.Thread(target=_kill_at, args=(kill.when, ended, kill_all), daemon=True).start()
    try:
        assert process.stdout is not None
        for line in process.stdout:
            text = line.decode("utf-8", errors="replace")
            output += text
            if kill is not None and kill.is_due(text):
                sent = True
                kill_all()
        code = process.wait()
        if kill is not None and not kill.done and (sent or kill.has_happened):
            kill.done = code == -signal.SIGKILL
        return code, output
    finally:
        ended.set()
        watch.cancel()
        kill_all()
        process.wait()


def _kill_at(when: threading.Event, ended: threading.Event, kill_all: Callable[[], None]) -> None:
    """Kills a command when the event happens, unless the command ends before."""
    while not ended.is_set():
        if when.wait(0.05):
            kill_all()
            return
