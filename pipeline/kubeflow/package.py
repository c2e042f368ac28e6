"""A compiled package: its parameters, and the names of its tasks."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from errors import ConfigError
from kindred.invocation import command
from pipeline.config import yaml_file
from pipeline.kubeflow.parameters import check_value

_TYPES: dict[str, tuple[type, ...]] = {
    "STRING": (str,),
    "BOOLEAN": (bool,),
    "NUMBER_INTEGER": (int,),
    "NUMBER_DOUBLE": (int, float),
}


@dataclasses.dataclass(frozen=True)
class Package:
    """A compiled pipeline.

    Attributes:
      name: the name of the pipeline.
      text: the YAML of the package.
      parameters: the type of each run parameter, such as NUMBER_INTEGER.
      tasks: the display name of each task.
    """

    name: str
    text: str
    parameters: Mapping[str, str]
    tasks: Mapping[str, str]

    @property
    def version(self) -> str:
        """The name of this package on a server: the name of the pipeline and a digest of the content."""
        return f"{self.name}-{hashlib.sha256(self.text.encode()).hexdigest()[:12]}"

    def to_json(self) -> dict[str, Any]:
        """Returns the names of the pipeline, of this package on a server, of its tasks, and the run parameters."""
        return {
            "pipeline": self.name,
            "version": self.version,
            "tasks": list(self.tasks.values()),
            "parameters": dict(self.parameters),
        }


def read_package(text: str, source: str) -> Package:
    """Reads a compiled package.

    Args:
      text: the YAML of the package.
      source: the name of the file, for messages.

    Raises:
      ConfigError: `text` is not a package of Kubeflow Pipelines.
    """
    try:
        spec = next(yaml.safe_load_all(text))
        root = spec["root"]
        parameters = root.get("inputDefinitions", {}).get("parameters", {})
        return Package(
            name=spec["pipelineInfo"]["name"],
            text=text,
            parameters={name: definition["parameterType"] for name, definition in parameters.items()},
            tasks=task_names(spec),
        )
    except (yaml.YAMLError, StopIteration, KeyError, TypeError, AttributeError):
        raise ConfigError(
            f"{source}: not a package of Kubeflow Pipelines; "
            f"`{command('compile', '--config', 'FILE', '--output', source)}` makes one"
        ) from None


def run_values(package: Package, settings: list[str]) -> dict[str, Any]:
    """Parses settings of the form `a.b=value` into run parameters.

    Raises:
      ConfigError: the package lacks a parameter, or the value has the wrong type.
    """
    values = {}
    for setting in settings:
        key, equals, text = setting.partition("=")
        name = key.replace(".", "_")
        if not equals:
            raise ConfigError(f"--set {setting!r}: must have the form key=value, such as train.epochs=5")
        if name not in package.parameters:
            raise ConfigError(
                f"--set {key}: no parameter of the package; choose one of {', '.join(package.parameters)}"
            )
        kind = package.parameters[name]
        value = text if kind == "STRING" else yaml_file.parse(text, f"--set {setting!r}")
        if not isinstance(value, _TYPES[kind]) or (isinstance(value, bool) and kind != "BOOLEAN"):
            raise ConfigError(f"--set {key}: must be a {kind.lower().replace('_', ' ')} (got {text!r})")
        check_value(name, value)
        values[name] = value
    return values


def task_names(spec: Mapping[str, Any]) -> dict[str, str]:
    """Returns the display name of each container task of a package, including tasks inside conditions.

    The names of tasks are unique in the whole package (`pipeline_context.Pipeline.add_task` of the kfp SDK).
    """
    return dict(_container_tasks(spec, spec["root"]["dag"]))


def _container_tasks(spec: Mapping[str, Any], dag: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, task in dag["tasks"].items():
        component = spec.get("components", {}).get(task.get("componentRef", {}).get("name"), {})
        if "dag" in component:
            yield from _container_tasks(spec, component["dag"])
        else:
            yield name, task["taskInfo"]["name"]
