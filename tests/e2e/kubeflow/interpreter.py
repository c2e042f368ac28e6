"""Runs a compiled package like Kubeflow Pipelines, with processes instead of containers.

It follows the sources of KFP's API server, driver and launcher (2.15.0 and 2.16.1) and of Argo Workflows (3.7.8), and
refuses everything else. Where the two releases of KFP differ, it follows the stricter one. A comment at each rule names
the source file.

    checks.py, platform_spec.py   what a package may contain
    placeholders.py, values.py    texts and values
    driver.py, conditions.py      inputs of a task, whether it runs
    dag.py, retries.py            in which order, and how often
    launcher.py                   one attempt
    executor_output.py            its artifacts and their properties

Each command has an empty disk (processes.py). Not emulated: the rest of pods, volumes, secrets, resources, the
cache, artifacts as inputs, loops, termination by a user, and the end of an attempt after the window of its retryPolicy.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

from tests.e2e.kubeflow.checks import read_package
from tests.e2e.kubeflow.dag import Workflow
from tests.e2e.kubeflow.driver import Run, Task, Values, root_inputs
from tests.e2e.kubeflow.launcher import Launcher, Start
from tests.e2e.kubeflow.package import Spec, dependencies, display_name, is_exit_task
from tests.e2e.kubeflow.processes import Processes
from tests.e2e.kubeflow.results import FAILED, SUCCEEDED, RunResult, TaskRun
from tests.e2e.kubeflow.retries import RetryPolicy

__all__ = ["Interpreter", "RunResult", "TaskRun"]

_PARALLEL = 4
_UUID = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class Interpreter:
    """One package and a folder in place of Kubeflow's own storage.

    Args:
      package: the text of the package.
      folder: the directory of artifacts, with a folder per run.
      environment: variables of all tasks, in addition to those of this process.
      starter: returns the function that starts the commands of a task, given its display name and whether the task is
        cold. The default starts processes of this machine.
      release: the release of KFP whose fields count: "2.15" or "2.16".
      sleep: waits between two attempts. The default does not wait. Waits are recorded in any case.

    Raises:
      PackageError: the package is invalid, or has features that are not emulated.
    """

    def __init__(
        self,
        package: str,
        folder: Path,
        environment: Mapping[str, str] | None = None,
        *,
        starter: Callable[[str, bool], Start] | None = None,
        release: str = "2.15",
        sleep: Callable[[float], None] = lambda seconds: None,
    ) -> None:
        self._package = read_package(package, release)
        self._folder, self._sleep = folder, sleep
        self._processes = Processes(environment or {})
        self._starter = starter or self._processes.starter
        self._places = threading.BoundedSemaphore(_PARALLEL)

    def kill_once(self, task: str, when: str | threading.Event) -> None:
        """Kills the first attempt of the task with display name `task` whose log contains `when`, or at an event.

        The signal is SIGKILL, as for a container without enough memory. `run` fails if the text does not appear.
        """
        self._check_name(task)
        self._processes.kill_once(task, when)

    def run(self, run_id: str, parameters: Mapping[str, object] | None = None, cold: Collection[str] = ()) -> RunResult:
        """Runs the package and returns its outcome.

        Args:
          run_id: a UUID, as for each run of KFP.
          parameters: the parameters of the run.
          cold: display names of tasks that run as separate programs. Other commands `python -m pipeline...` run as
            forks of a process that has imported TFX, which saves 8 s per task.

        Raises:
          PackageError: the package or an output of its tasks is invalid.
          RunParameterError: the API server would refuse the parameters.
        """
        if not _UUID.fullmatch(run_id):
            raise ValueError(f"{run_id}: the id of a run is a UUID in lower case")
        for name in cold:
            self._check_name(name)
        place = self._folder / run_id
        # Runs of KFP have unique ids.
        place.mkdir(parents=True)
        inputs = root_inputs(self._package.root, parameters or {})
        name = self._package.name
        run = Run(run_id, f"{name} {run_id[:8]}", f"{name}-{run_id[-5:]}")

        def run_container(task: Task, values: Values, record: TaskRun) -> None:
            self._run_container(task, values, record, place, record.name in cold)

        workflow = Workflow(self._package, run, run_container)
        state = workflow.execute(inputs)
        result = RunResult(state, workflow.tasks, workflow.dags)
        self._processes.check_killed(result.log)
        return result

    def after(self, display: str) -> set[str]:
        """Returns the display names of all direct and indirect downstream tasks, without exit tasks."""
        self._check_name(display)
        found: set[str] = set()
        self._collect_after(self._package.root, display, found)
        return found - {display}

    def _run_container(self, task: Task, inputs: Values, record: TaskRun, place: Path, cold: bool) -> None:
        """Runs a task as often as its policy allows."""
        policy = RetryPolicy.read(task.spec.get("retryPolicy"), task.path)
        start = self._starter(record.name, cold)
        container = self._package.container(task.component)
        launcher = Launcher(task, container, inputs, place / ".pods" / task.path, place / task.path, start)
        record.began = time.monotonic()
        while True:
            with self._places:
                attempt = launcher.attempt()
            record.codes.append(attempt.code)
            record.log += attempt.log
            since_first = time.monotonic() - record.began + sum(record.waits)
            wait = None if attempt.code == 0 else policy.wait_after(len(record.codes), since_first)
            if wait is None:
                break
            record.waits.append(wait)
            self._sleep(wait)
        record.ended = time.monotonic()
        record.state = SUCCEEDED if attempt.code == 0 else FAILED
        record.parameters, record.artifacts = attempt.parameters, attempt.artifacts
        record.recorded = attempt.recorded

    def _collect_after(self, component: Spec, display: str, found: set[str]) -> bool:
        """Adds tasks that wait for task `display` in a DAG to `found`. Returns whether the task is in the DAG."""
        tasks = {key: task for key, task in component["dag"]["tasks"].items() if not is_exit_task(task)}
        holders = set()
        for key, task in tasks.items():
            inner = self._package.component(task)
            is_it = "dag" not in inner and display_name(key, task) == display
            if is_it or ("dag" in inner and self._collect_after(inner, display, found)):
                holders.add(key)
        waiting = set(holders)
        while more := {key for key, task in tasks.items() if waiting & {*dependencies(task)}} - waiting:
            waiting |= more
        for key in waiting - holders:
            found |= self._names(key, tasks[key])
        return bool(holders)

    def _names(self, key: str, task: Spec) -> set[str]:
        """Returns the display name of a task, or those in its DAG."""
        inner = self._package.component(task)
        if "dag" not in inner:
            return {display_name(key, task)}
        return {name for item in inner["dag"]["tasks"].items() for name in self._names(*item)}

    def _check_name(self, name: str) -> None:
        tasks = self._package.root["dag"]["tasks"]
        names = {name for item in tasks.items() for name in self._names(*item)}
        if name not in names:
            raise KeyError(f"{name}: no such task; choose one of {', '.join(sorted(names))}")
