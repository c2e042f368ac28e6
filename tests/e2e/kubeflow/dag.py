"""Runs tasks in the order of Argo Workflows 3.7.8 for a package that KFP's argocompiler has compiled."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import itertools
from collections.abc import Callable, Mapping

from tests.e2e.kubeflow.driver import Run, Task, Values, dag_outputs, resolve_inputs, will_trigger
from tests.e2e.kubeflow.errors import DriverError, PackageError
from tests.e2e.kubeflow.package import Package, Spec, dependencies, display_name, is_exit_task
from tests.e2e.kubeflow.results import FAILED, SKIPPED, SUCCEEDED, TaskRun

RunContainer = Callable[[Task, Values, TaskRun], None]
"""Runs and records the attempts of a container task with its inputs."""


@dataclasses.dataclass(frozen=True)
class _Ended:
    """The outcome of a task. `hooked`: whether Argo runs its exit hook."""

    state: str
    outputs: Values = dataclasses.field(default_factory=dict)
    hooked: bool = True


class Workflow:
    """One run of a package.

    Args:
      package: the package.
      run: the values of the run that the driver knows.
      run_container: runs a container task and records its outcome.
    """

    def __init__(self, package: Package, run: Run, run_container: RunContainer) -> None:
        self._package, self._run, self._run_container = package, run, run_container
        self.tasks: list[TaskRun] = []
        self.dags: dict[str, str] = {}
        # The ids of executions in KFP's own ML Metadata.
        self._ids = itertools.count(1)

    def execute(self, inputs: Values) -> str:
        """Runs the root DAG and returns its state, which is the state of the run."""
        return self._run_dag(self._package.root, "", inputs).state

    def _run_dag(self, component: Spec, path: str, inputs: Values) -> _Ended:
        """Runs the tasks of a DAG. The DAG fails if a task other than an exit task fails.

        argocompiler/dag.go (depends): a task waits for `.Succeeded` of all that it depends on. A skipped task
        has not succeeded, so the tasks after it are omitted. A failure does not stop independent tasks: Argo's
        executeDAG starts all ready tasks before assessDAGPhase checks for failures, and waits for running tasks.
        """
        dag_id = next(self._ids)
        tasks = component["dag"]["tasks"]
        exits = {dependencies(task)[0]: key for key, task in tasks.items() if is_exit_task(task)}
        waiting = {key: task for key, task in tasks.items() if not is_exit_task(task)}
        ended: dict[str, _Ended] = {}
        running: dict[concurrent.futures.Future[_Ended], str] = {}
        with concurrent.futures.ThreadPoolExecutor(len(tasks)) as pool:
            while waiting or running:
                for key in [key for key, task in waiting.items() if ended.keys() >= {*dependencies(task)}]:
                    spec = waiting.pop(key)
                    task = Task(key, f"{path}{key}", spec, self._package.component(spec), dag_id)
                    if any(ended[other].state != SUCCEEDED for other in dependencies(spec)):
                        ended[key] = self._skip(task)
                        continue
                    outputs = {other: ended[other].outputs for other in dependencies(spec)}
                    hook = exits.get(key)
                    future = pool.submit(self._run_with_hook, task, inputs, outputs, hook and (hook, tasks[hook]))
                    running[future] = key
                if any(ended.keys() >= {*dependencies(task)} for task in waiting.values()):
                    continue
                if not running and waiting:
                    raise PackageError(f"{', '.join(waiting)}: wait for each other")
                done, _ = concurrent.futures.wait(running, return_when=concurrent.futures.FIRST_COMPLETED)
                for future in done:
                    ended[running.pop(future)] = future.result()
        for followed, key in exits.items():
            if not ended[followed].hooked:
                self._skip(Task(key, f"{path}{key}", tasks[key], self._package.component(tasks[key]), dag_id))
        state = FAILED if any(task.state == FAILED for task in ended.values()) else SUCCEEDED
        return _Ended(state, dag_outputs(component, {key: task.outputs for key, task in ended.items()}))

    def _run_with_hook(
        self, task: Task, inputs: Values, outputs: Mapping[str, Values], hook: tuple[str, Spec] | None
    ) -> _Ended:
        """Runs a task, then its exit task, if it has one.

        argocompiler/dag.go and common.go (addExitTask): the exit task is an exit hook of Argo on the task that it
        follows. Argo runs it if that task succeeded or failed, not if it was skipped or omitted
        (executeDAGTask: node.Completed()). Tasks after it wait for the hook (evaluateDependsLogic:
        CheckAllHooksFullfilled). A failed hook does not fail the DAG, because assessDAGPhase checks only tasks of the
        DAG, and a hook is not a task.
        """
        ended = self._run_task(task, inputs, outputs)
        if hook is not None and ended.hooked:
            key, spec = hook
            path = task.path.removesuffix(task.key) + key
            self._run_task(Task(key, path, spec, self._package.component(spec), task.dag_id), inputs, {})
        return ended

    def _run_task(self, task: Task, parent: Values, outputs: Mapping[str, Values]) -> _Ended:
        """Runs the driver of a task, then its DAG or its container.

        The driver has its own pod. If it fails, the task is omitted and the DAG fails.
        """
        is_dag = "dag" in task.component
        try:
            inputs = resolve_inputs(task, parent, outputs, self._run)
            triggered = will_trigger(task, inputs)
        except DriverError as error:
            if is_dag:
                self._skip(task)
                self.dags[task.path] = FAILED
            else:
                name = display_name(task.key, task.spec)
                self.tasks.append(TaskRun(name, task.path, FAILED, log=f"KFP driver: {error}\n"))
            return _Ended(FAILED, hooked=False)
        if not triggered:
            return self._skip(task)
        if is_dag:
            found = self._run_dag(task.component, f"{task.path}/", inputs)
            self.dags[task.path] = found.state
            return found
        record = TaskRun(display_name(task.key, task.spec), task.path)
        self.tasks.append(record)
        self._run_container(task, inputs, record)
        return _Ended(record.state, record.parameters)

    def _skip(self, task: Task) -> _Ended:
        """Records a task that does not run, and all tasks inside it."""
        if "dag" not in task.component:
            self.tasks.append(TaskRun(display_name(task.key, task.spec), task.path))
            return _Ended(SKIPPED, hooked=False)
        self.dags[task.path] = SKIPPED
        for key, spec in task.component["dag"]["tasks"].items():
            self._skip(Task(key, f"{task.path}/{key}", spec, self._package.component(spec), 0))
        return _Ended(SKIPPED, hooked=False)
