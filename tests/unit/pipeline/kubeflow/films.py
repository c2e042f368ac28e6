"""A pipeline file with a section `kubeflow`, and a reader of compiled packages."""

from __future__ import annotations

import copy
import dataclasses
import functools
from typing import Any

import yaml

from pipeline.config import PipelineConfig

RUN_ID = "0b6d7a52-5a7b-4c0e-9a43-2f1f6f0c9b11"
TREE: dict[str, Any] = {
    "name": "films",
    "data": {"path": "/kindred/data/span-{SPAN}/*.csv"},
    "kubeflow": {
        "image": "registry.example/kindred:1",
        "secrets": [{"name": "cloud", "env": {"key": "CLOUD_KEY"}}, {"name": "ca", "mount": "/etc/ca"}],
        "config_maps": [{"name": "proxy", "env": {"url": "HTTPS_PROXY"}}, {"name": "files", "mount": "/etc/files"}],
        "image_pull_secret": "registry",
        "task": {"node_selector": {"pool": "batch"}, "memory": "2Gi"},
        "components": {
            "Trainer": {
                "cpu": "4", "memory": "16Gi", "memory_limit": "20Gi", "gpu": 1, "retries": 0,
                "tolerations": [{"key": "gpu", "operator": "Exists", "effect": "NoSchedule"}],
            }
        },
    },
}  # fmt: skip


def tree(**changes: Any) -> dict[str, Any]:
    changed = copy.deepcopy(TREE)
    changed["kubeflow"].update(changes)
    return changed


def config(**changes: Any) -> PipelineConfig:
    return PipelineConfig.model_validate(tree(**changes))


@dataclasses.dataclass(frozen=True)
class Task:
    """A container task: its key and display name, its entry, its component, its container, and the DAG it is in."""

    key: str
    name: str
    spec: dict[str, Any]
    component: dict[str, Any]
    container: dict[str, Any]
    platform: dict[str, Any]
    dag: str


class Package:
    """A compiled package, with the tasks of all of its DAGs."""

    def __init__(self, text: str) -> None:
        self.spec, platform = yaml.safe_load_all(text)
        self._platform = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]

    @property
    def defaults(self) -> dict[str, Any]:
        parameters = self.spec["root"]["inputDefinitions"]["parameters"]
        return {name: parameter["defaultValue"] for name, parameter in parameters.items()}

    @functools.cached_property
    def tasks(self) -> list[Task]:
        """Every container task."""
        return list(self._tasks("root", self.spec["root"]["dag"]))

    @functools.cached_property
    def dags(self) -> dict[str, dict[str, Any]]:
        """The entry of every task that is a DAG, by display name."""
        found = {}
        for component in [self.spec["root"], *self.spec["components"].values()]:
            for task in component.get("dag", {}).get("tasks", {}).values():
                if "dag" in self.spec["components"][task["componentRef"]["name"]]:
                    found[task["taskInfo"]["name"]] = task
        return found

    def task(self, name: str) -> Task:
        """Returns the only task with this display name."""
        (found,) = (task for task in self.tasks if task.name == name)
        return found

    def arguments(self, name: str, outputs: dict[str, str], run_id: str = RUN_ID, **inputs: Any) -> list[str]:
        """Returns the arguments of a task after Kubeflow has filled in the inputs."""
        values = {**self.defaults, "run_id": run_id, **inputs}
        words = []
        for word in self.task(name).container["args"]:
            for key, value in values.items():
                word = word.replace(f"{{{{$.inputs.parameters['{key}']}}}}", _text(value))
            for key, path in outputs.items():
                word = word.replace(f"{{{{$.outputs.artifacts['{key}'].path}}}}", path)
                word = word.replace(f"{{{{$.outputs.parameters['{key}'].output_file}}}}", path)
            words.append(word)
        return words

    def _tasks(self, dag: str, spec: dict[str, Any]) -> Any:
        for key, task in spec["tasks"].items():
            component = self.spec["components"][task["componentRef"]["name"]]
            if "dag" in component:
                yield from self._tasks(task["taskInfo"]["name"], component["dag"])
            else:
                label = component["executorLabel"]
                container = self.spec["deploymentSpec"]["executors"][label]["container"]
                yield Task(key, task["taskInfo"]["name"], task, component, container, self._platform[label], dag)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return str(int(value)) if isinstance(value, float) and value == int(value) else str(value)
