"""Runs a compiled package as Kubeflow's driver and launcher do, with a process where they have a container.

Placeholders are filled in as backend/src/v2/component/launcher_v2.go does it: numbers without an exponent; what is no
known placeholder stays. A task runs when all its `dependentTasks` have succeeded, beside others if it can; a failed
one is tried again as its retry policy says; what follows a failed one does not run.
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
import decimal
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Collection
from pathlib import Path
from typing import Any

import yaml

from tests.e2e.kubeflow import warm

_PARALLEL = 4
_KEYS = {"STRING": str, "BOOLEAN": bool, "NUMBER_INTEGER": (int, float), "NUMBER_DOUBLE": (int, float)}


@dataclasses.dataclass
class TaskRun:
    """How a task ended: SUCCEEDED, FAILED or SKIPPED; each attempt's exit code; when it ran; what it said."""

    state: str
    codes: list[int] = dataclasses.field(default_factory=list)
    began: float = 0.0
    ended: float = 0.0
    said: str = ""
    summary: str = ""


class Interpreter:
    """One package and the folder that stands for Kubeflow's own storage."""

    def __init__(self, package: str, folder: Path, environment: dict[str, str] | None = None) -> None:
        self.spec, self.platform = yaml.safe_load_all(package)
        assert self.spec["schemaVersion"] == "2.1.0"
        self._folder = folder
        self._environment = {**os.environ, **(environment or {})}
        self._cold: set[str] = set()
        self._kill: set[str] = set()
        self._lock = threading.Lock()

    def kill_once(self, task: str) -> None:
        """The first attempt of `task` is killed, as a node of the cluster dies."""
        self._kill.add(task)

    def run(
        self, run_id: str, parameters: dict[str, Any] | None = None, cold: Collection[str] = ()
    ) -> dict[str, TaskRun]:
        """Runs the package with `parameters`; how each task ended, by its display name.

        Each command is a process of its own: of the tasks in `cold` the very command of the container, of the others
        a fork of a process that has imported TFX, which would cost 8 s a task.
        """
        self._cold = {*cold, *self._kill}
        values = self._parameters(parameters or {})
        tasks = self.spec["root"]["dag"]["tasks"]
        ended: dict[str, TaskRun] = {}
        running: dict[concurrent.futures.Future[TaskRun], str] = {}
        with concurrent.futures.ThreadPoolExecutor(_PARALLEL) as pool:
            while len(ended) < len(tasks):
                for name, task in tasks.items():
                    needed = task.get("dependentTasks", [])
                    if name in ended or name in running.values() or not all(other in ended for other in needed):
                        continue
                    if any(ended[other].state != "SUCCEEDED" for other in needed):
                        ended[name] = TaskRun("SKIPPED")
                    else:
                        running[pool.submit(self._run_task, name, task, run_id, values)] = name
                done, _ = concurrent.futures.wait(running, return_when=concurrent.futures.FIRST_COMPLETED)
                for future in done:
                    ended[running.pop(future)] = future.result()
        return {task["taskInfo"]["name"]: ended[name] for name, task in tasks.items()}

    def after(self, display_name: str) -> set[str]:
        """The display names of all tasks that wait for that one, however indirectly."""
        tasks = self.spec["root"]["dag"]["tasks"]
        found = {name for name, task in tasks.items() if task["taskInfo"]["name"] == display_name}
        while more := {n for n, t in tasks.items() if found & set(t.get("dependentTasks", []))} - found:
            found |= more
        return {tasks[name]["taskInfo"]["name"] for name in found} - {display_name}

    def _parameters(self, given: dict[str, Any]) -> dict[str, Any]:
        defined = self.spec["root"]["inputDefinitions"]["parameters"]
        assert given.keys() <= defined.keys(), given
        values = {name: given.get(name, definition.get("defaultValue")) for name, definition in defined.items()}
        for name, value in values.items():
            assert isinstance(value, _KEYS[defined[name]["parameterType"]]), (name, value)
        return values

    def _run_task(self, name: str, task: dict[str, Any], run_id: str, values: dict[str, Any]) -> TaskRun:
        component = self.spec["components"][task["componentRef"]["name"]]
        container = self.spec["deploymentSpec"]["executors"][component["executorLabel"]]["container"]
        inputs = {}
        for key, source in task["inputs"]["parameters"].items():
            inputs[key] = values[source["componentInputParameter"]]
        assert inputs.keys() == component["inputDefinitions"]["parameters"].keys()
        outputs = component["outputDefinitions"]["artifacts"]
        places = {output: self._folder / run_id / name / output for output in outputs}
        command = [fill_in(word, run_id, inputs, places) for word in [*container["command"], *container["args"]]]
        assert command[0] == "python"
        ended = TaskRun("FAILED", began=time.monotonic())
        for _ in range(1 + task.get("retryPolicy", {}).get("maxRetryCount", 0)):
            code, said = self._attempt(name, [sys.executable, *command[1:]])
            ended.codes.append(code)
            ended.said += said
            if code == 0:
                ended.state = "SUCCEEDED"
                ended.summary = places["summary"].read_text(encoding="utf-8")
                break
        ended.ended = time.monotonic()
        return ended

    def _attempt(self, name: str, command: list[str]) -> tuple[int, str]:
        if name not in self._cold:
            return warm.run(command)
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=self._environment
        )
        with self._lock:
            doomed = name in self._kill
            self._kill.discard(name)
        said = ""
        for line in process.stdout or ():
            said += line
            # The executor has begun: ML Metadata has a running execution that nobody will end.
            if doomed and "Going to run a new execution" in line:
                process.send_signal(signal.SIGKILL)
        return process.wait(300), said


def fill_in(word: str, run_id: str, inputs: dict[str, Any], outputs: dict[str, Path]) -> str:
    """`word` with its placeholders filled in."""
    if word == "{{$.pipeline_job_uuid}}":
        return run_id
    placeholders = {f"{{{{$.inputs.parameters['{key}']}}}}": _text(value) for key, value in inputs.items()}
    placeholders |= {f"{{{{$.outputs.artifacts['{key}'].path}}}}": str(path) for key, path in outputs.items()}
    for placeholder, value in placeholders.items():
        word = word.replace(placeholder, value)
    return word


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return format(decimal.Decimal(repr(value)), "f").removesuffix(".0")
    return value if isinstance(value, str) else json.dumps(value)
