"""A compiled package: its documents, and the parts of its tasks."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from tests.e2e.kubeflow.errors import PackageError, Unsupported

Spec = Mapping[str, Any]

EXIT = "ALL_UPSTREAM_TASKS_COMPLETED"


@dataclasses.dataclass(frozen=True)
class Package:
    """The pipeline of a package.

    Attributes:
      name: the name of the pipeline.
      root: the root component.
      components: the other components by name.
      containers: the containers by the label of their executor.
    """

    name: str
    root: Spec
    components: Mapping[str, Spec]
    containers: Mapping[str, Spec]

    def component(self, task: Spec) -> Spec:
        return self.components[task["componentRef"]["name"]]

    def container(self, component: Spec) -> Spec:
        return self.containers[component["executorLabel"]]


def only(found: Any, keys: Collection[str], place: str) -> Any:
    """Returns `found`, a mapping whose keys are all in `keys`.

    Raises:
      Unsupported: the mapping has another key. No part of a package is ignored.
    """
    if not isinstance(found, Mapping):
        raise PackageError(f"{place}: is no mapping")
    for key in found:
        if key not in keys:
            raise Unsupported(place, str(key))
    return found


def parameters_in(component: Spec) -> Mapping[str, Spec]:
    return component.get("inputDefinitions", {}).get("parameters", {})


def parameters_out(component: Spec) -> Mapping[str, Spec]:
    return component.get("outputDefinitions", {}).get("parameters", {})


def artifacts_out(component: Spec) -> Mapping[str, Spec]:
    return component.get("outputDefinitions", {}).get("artifacts", {})


def words_of(container: Spec) -> Iterator[tuple[str, str]]:
    """Returns the words of command and args with their places. The launcher gets them as one list."""
    for part in ("command", "args"):
        for number, word in enumerate(container.get(part, [])):
            yield f"{part}[{number}]", word


def display_name(key: str, task: Spec) -> str:
    return task.get("taskInfo", {}).get("name") or key


def sources(task: Spec) -> Mapping[str, Spec]:
    """Returns the sources of the input parameters of a task."""
    return task.get("inputs", {}).get("parameters", {})


def dependencies(task: Spec) -> list[str]:
    """Returns the upstream tasks. argocompiler/dag.go (addImplicitDependencies) adds the producers of inputs."""
    producers = [
        source["taskOutputParameter"]["producerTask"]
        for source in sources(task).values()
        if "taskOutputParameter" in source
    ]
    return list(dict.fromkeys([*task.get("dependentTasks", []), *producers]))


def is_exit_task(task: Spec) -> bool:
    return task.get("triggerPolicy", {}).get("strategy") == EXIT


def strings_in(found: Any, place: str) -> Iterator[tuple[str, str]]:
    """Yields all strings in a value of YAML, with their places."""
    if isinstance(found, str):
        yield place, found
    elif isinstance(found, Mapping):
        for key, item in found.items():
            yield from strings_in(item, f"{place}.{key}")
    elif isinstance(found, list):
        for number, item in enumerate(found):
            yield from strings_in(item, f"{place}[{number}]")
