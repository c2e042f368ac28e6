"""Starts the commands of tasks as processes, and kills those that a test selects."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
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
        """Fails if the log of a selected task never had the trigger text, because the test would prove nothing."""
        missed = {task: kill.when for task, kill in self._kills.items() if not kill.done}
        self._kills.clear()
        if missed:
            raise AssertionError(f"never killed, as their logs did not contain: {missed}")

    def starter(self, task: str, cold: bool) -> Start:
        """Returns the function that starts the commands of a task."""

        def start(command: list[str], variables: Mapping[str, str]) -> tuple[int, str]:
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
    )
    watch = threading.Timer(_LIMIT, process.kill)
    watch.start()
    output = ""
    try:
        assert process.stdout is not None
        for line in process.stdout:
            output += line.decode("utf-8", errors="replace")
            if kill is not None and not kill.done and kill.when in line.decode("utf-8", errors="replace"):
                kill.done = True
                process.send_signal(signal.SIGKILL)
        return process.wait(), output
    finally:
        watch.cancel()
        process.kill()
        process.wait()
