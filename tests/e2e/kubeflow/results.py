"""The outcomes of a run and its tasks."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from tests.e2e.kubeflow.executor_output import Recorded
from tests.e2e.kubeflow.values import Value

SUCCEEDED, FAILED, SKIPPED = "SUCCEEDED", "FAILED", "SKIPPED"


@dataclasses.dataclass
class TaskRun:
    """The outcome of a container task.

    Attributes:
      name: its display name.
      path: the keys of the DAGs around it and its own, such as exit-handler-1/condition-2/trainer.
      state: SUCCEEDED, FAILED or SKIPPED.
      codes: the exit code of each attempt's container: 0 or 1. Empty if KFP's driver failed.
      waits: the seconds that Argo would have waited between the attempts.
      began, ended: times of time.monotonic().
      log: the output of all attempts, with the errors of the driver and the launcher.
      parameters: the output parameters.
      artifacts: the output artifacts that exist, by name.
      recorded: the output artifacts in KFP's own ML Metadata, by name.
    """

    name: str
    path: str
    state: str = SKIPPED
    codes: list[int] = dataclasses.field(default_factory=list)
    waits: list[float] = dataclasses.field(default_factory=list)
    began: float = 0.0
    ended: float = 0.0
    log: str = ""
    parameters: dict[str, Value] = dataclasses.field(default_factory=dict)
    artifacts: dict[str, Path] = dataclasses.field(default_factory=dict)
    recorded: dict[str, Recorded] = dataclasses.field(default_factory=dict)

    @property
    def summary(self) -> str:
        """Returns the text of the artifact `summary`, or an empty string."""
        place = self.artifacts.get("summary")
        return place.read_text(encoding="utf-8") if place else ""


@dataclasses.dataclass
class RunResult:
    """The outcome of a run. `result["Trainer"]` is the outcome of the only task with this name.

    Attributes:
      state: SUCCEEDED, or FAILED if a task failed. An exit task that fails does not count.
      tasks: all tasks with a container, those in skipped DAGs included.
      dags: the states of the DAGs inside the root, by path.
    """

    state: str
    tasks: list[TaskRun]
    dags: dict[str, str]

    def __getitem__(self, name: str) -> TaskRun:
        found = self.all(name)
        if len(found) != 1:
            raise KeyError(f"{name}: {[task.path for task in found] or 'no such task'}")
        return found[0]

    def all(self, name: str) -> list[TaskRun]:
        """Returns all tasks with a display name, sorted by path."""
        return sorted((task for task in self.tasks if task.name == name), key=lambda task: task.path)

    @property
    def states(self) -> dict[str, str | list[str]]:
        """Returns the states by display name. If several tasks have a name, the value is a list, sorted by path."""
        found: dict[str, str | list[str]] = {}
        for name in dict.fromkeys(task.name for task in self.tasks):
            states = [task.state for task in self.all(name)]
            found[name] = states[0] if len(states) == 1 else states
        return found

    @property
    def log(self) -> str:
        """Returns the logs of all tasks, for the message of a failed assertion."""
        return "\n".join(f"--- {task.path}: {task.state}\n{task.log[-4000:]}" for task in self.tasks)
