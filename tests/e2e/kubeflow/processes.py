"""Starts the commands of tasks as processes, and kills those that a test selects."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping

from tests.e2e.kubeflow import warm
from tests.e2e.kubeflow.launcher import Start

_LIMIT = 600
"""Seconds. A command that takes longer hangs."""


@dataclasses.dataclass
class _Kill:
    when: str
    done: bool = False


class Processes:
    """The commands of one package's tasks.

    Args:
      environment: variables of all commands, in addition to those of this process.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = dict(environment)
        self._kills: dict[str, _Kill] = {}

    def kill_once(self, task: str, when: str) -> None:
        self._kills[task] = _Kill(when)

    def check_killed(self) -> None:
        """Fails if a selected task was not killed, because the test would prove nothing."""
        missed = {task: kill.when for task, kill in self._kills.items() if not kill.done}
        self._kills.clear()
        if missed:
            raise AssertionError(
                f"never killed, as their logs did not contain the text, or they ended right after it: {missed}"
            )

    def starter(self, task: str, cold: bool) -> Start:
        """Returns the function that starts the commands of a task."""

        def start(words: list[str], variables: Mapping[str, str]) -> tuple[int, str]:
            program = sys.executable if words[0] in ("python", "python3") else words[0]
            if not shutil.which(program):
                raise FileNotFoundError(words[0])
            command = [program, *words[1:]]
            more = {**self._environment, **variables}
            kill = self._kills.get(task)
            if cold or kill is not None or command[1:2] != ["-m"] or not command[2].startswith("pipeline."):
                return _run(command, more, kill)
            return warm.run(command, more)

        return start


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
    try:
        assert process.stdout is not None
        for line in process.stdout:
            output += line.decode("utf-8", errors="replace")
            if kill is not None and not kill.done and kill.when in line.decode("utf-8", errors="replace"):
                sent = True
                kill_all()
        code = process.wait()
        if kill is not None and sent:
            kill.done = code == -signal.SIGKILL
        return code, output
    finally:
        watch.cancel()
        kill_all()
        process.wait()
