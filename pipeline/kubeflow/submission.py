"""Puts a package on a server, once however often it is submitted, starts a run of it and follows that to its end."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import kfp_server_api as api
import yaml

from errors import ClusterRefused, ConfigError, ServiceUnavailable
from pipeline.config import yaml_file
from pipeline.kubeflow.client import Cluster, status_of
from pipeline.running.console import RunConsole

_ENDED = ("SUCCEEDED", "FAILED", "CANCELED", "SKIPPED")
_STATES = {"SUCCEEDED": "executed", "CACHED": "cached", "SKIPPED": "skipped", "FAILED": "failed", "CANCELED": "failed"}
_TYPES: dict[str, tuple[type, ...]] = {
    "STRING": (str,),
    "BOOLEAN": (bool,),
    "NUMBER_INTEGER": (int,),
    "NUMBER_DOUBLE": (int, float),
}
_PATIENCE = 20
"""How often in a row the server may be away while a run is followed; the run goes on meanwhile."""


@dataclasses.dataclass(frozen=True)
class Package:
    """A compiled pipeline: its name, YAML, run parameters with their types, and tasks with their names for people."""

    name: str
    text: str
    parameters: Mapping[str, str]
    tasks: Mapping[str, str]

    @property
    def version(self) -> str:
        """The name of this very package on a server: that of the pipeline and a digest of the content."""
        return f"{self.name}-{hashlib.sha256(self.text.encode()).hexdigest()[:12]}"


@dataclasses.dataclass(frozen=True)
class Version:
    """A package on a server."""

    pipeline_id: str
    version_id: str
    is_new: bool


def read_package(text: str, source: str) -> Package:
    """Reads a compiled package.

    Raises:
      ConfigError: it is none.
    """
    try:
        spec = next(yaml.safe_load_all(text))
        root = spec["root"]
        parameters = root.get("inputDefinitions", {}).get("parameters", {})
        return Package(
            name=spec["pipelineInfo"]["name"],
            text=text,
            parameters={name: definition["parameterType"] for name, definition in parameters.items()},
            tasks={name: task["taskInfo"]["name"] for name, task in root["dag"]["tasks"].items()},
        )
    except (yaml.YAMLError, StopIteration, KeyError, TypeError, AttributeError):
        raise ConfigError(
            f"{source}: not a package of Kubeflow Pipelines; `kindred compile --config F --output {source}` makes one"
        ) from None


def run_values(package: Package, settings: list[str]) -> dict[str, Any]:
    """The parameters of a run from `a.b=value` each.

    Raises:
      ConfigError: the package has no such parameter, or it is of another type.
    """
    values = {}
    for setting in settings:
        key, equals, text = setting.partition("=")
        name = key.replace(".", "_")
        if not equals:
            raise ConfigError(f"--set {setting!r}: must have the form key=value, such as train.epochs=5")
        if name not in package.parameters:
            raise ConfigError(f"--set {key}: no parameter of the package; there is {', '.join(package.parameters)}")
        kind = package.parameters[name]
        value = text if kind == "STRING" else yaml_file.parse(text, f"--set {setting!r}")
        if not isinstance(value, _TYPES[kind]) or (isinstance(value, bool) and kind != "BOOLEAN"):
            raise ConfigError(f"--set {key}: must be a {kind.lower().replace('_', ' ')} (got {text!r})")
        values[name] = value
    return values


def upload(cluster: Cluster, package: Package) -> Version:
    """The version of `package` on the server; uploaded if it is not there.

    Raises:
      ClusterRefused, ServiceUnavailable: as `Cluster.ask`.
    """
    pipeline_id = _pipeline(cluster, package.name)
    if found := _find_version(cluster, pipeline_id, package.version):
        return Version(pipeline_id, found, is_new=False)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, f"{package.version}.yaml")
        file.write_text(package.text, encoding="utf-8")
        try:
            uploaded = cluster.ask(
                f"take version {package.version}",
                cluster.uploads.upload_pipeline_version,
                str(file),
                name=package.version,
                pipelineid=pipeline_id,
            )
        except ClusterRefused as error:
            # Somebody else uploaded it at the same time.
            if status_of(error) == 409 and (found := _find_version(cluster, pipeline_id, package.version)):
                return Version(pipeline_id, found, is_new=False)
            raise
    return Version(pipeline_id, uploaded.pipeline_version_id, is_new=True)


def start(
    cluster: Cluster,
    package: Package,
    version: Version,
    experiment: str,
    values: Mapping[str, Any],
    account: str | None,
) -> str:
    """Starts a run of `version`; its id."""
    run = api.V2beta1Run(
        display_name=f"{package.name} {time.strftime('%Y-%m-%d %H:%M:%S')}",
        experiment_id=experiment_id(cluster, experiment),
        pipeline_version_reference=reference(version),
        runtime_config=api.V2beta1RuntimeConfig(parameters=dict(values)),
        service_account=account,
    )
    return str(cluster.ask("start a run", cluster.runs.run_service_create_run, run).run_id)


def follow(
    cluster: Cluster,
    run_id: str,
    package: Package,
    console: RunConsole,
    pause: float = 2.0,
    sleep: Callable[[float], None] = time.sleep,
) -> str:
    """Watches a run to its end, with a live line per task that runs and one that stays when it ends.

    Of Kubeflow's own tasks (drivers, the root) nothing is told.

    Returns:
      The state of the run.

    Raises:
      ServiceUnavailable: the server stays away; the run goes on.
    """
    told: set[str] = set()
    with console.running() as show:
        while True:
            run = _look(cluster, run_id, pause, sleep)
            details = [detail for detail in _details(run) if detail.display_name in package.tasks]
            show([package.tasks[detail.display_name] for detail in details if detail.state == "RUNNING"])
            for detail in details:
                _tell(detail, package.tasks[detail.display_name], console, told)
            if run.state in _ENDED:
                break
            sleep(pause)
    if run.state != "SUCCEEDED":
        console.say(f"run {run_id}: {run.state.lower()}{_message(run.error)}", "red")
    return str(run.state)


def _look(cluster: Cluster, run_id: str, pause: float, sleep: Callable[[float], None]) -> Any:
    """The run as it is now; asked again where the server is away."""
    for _ in range(_PATIENCE):
        with contextlib.suppress(ServiceUnavailable):
            return cluster.ask("show the run", cluster.runs.run_service_get_run, run_id)
        sleep(pause)
    return cluster.ask("show the run", cluster.runs.run_service_get_run, run_id)


def reference(version: Version) -> Any:
    """How a run names `version`."""
    return api.V2beta1PipelineVersionReference(pipeline_id=version.pipeline_id, pipeline_version_id=version.version_id)


def experiment_id(cluster: Cluster, name: str) -> str:
    """The experiment of that name; made if there is none."""
    experiments = cluster.experiments
    listed = cluster.pages(
        "list experiments", experiments.experiment_service_list_experiments, "experiments", **cluster.in_namespace()
    )
    for experiment in listed:
        if experiment.display_name == name:
            return str(experiment.experiment_id)
    wanted = api.V2beta1Experiment(display_name=name, namespace=cluster.namespace)
    made = cluster.ask(f"make experiment {name}", experiments.experiment_service_create_experiment, wanted)
    return str(made.experiment_id)


def _pipeline(cluster: Cluster, name: str) -> str:
    """The pipeline of that name; made if there is none."""
    find = cluster.pipelines.pipeline_service_get_pipeline_by_name
    found = cluster.find(f"find pipeline {name}", find, name, **cluster.in_namespace())
    if found is None:
        # Servers before 2.14 know no `name`, and newer ones take the display name for it.
        wanted = api.V2beta1Pipeline(display_name=name, namespace=cluster.namespace)
        try:
            create = cluster.pipelines.pipeline_service_create_pipeline
            found = cluster.ask(f"make pipeline {name}", create, wanted)
        except ClusterRefused as error:
            if status_of(error) != 409:
                raise
            found = cluster.ask(f"find pipeline {name}", find, name, **cluster.in_namespace())
    return str(found.pipeline_id)


def _find_version(cluster: Cluster, pipeline_id: str, name: str) -> str | None:
    listed = cluster.pages(
        "list versions",
        cluster.pipelines.pipeline_service_list_pipeline_versions,
        "pipeline_versions",
        pipeline_id,
        sort_by="created_at desc",
    )
    return next((str(v.pipeline_version_id) for v in listed if name in (v.name, v.display_name)), None)


def _details(run: Any) -> list[Any]:
    return list(run.run_details.task_details or ()) if run.run_details else []


def _tell(detail: Any, name: str, console: RunConsole, told: set[str]) -> None:
    """A line for a task that has ended."""
    if name in told or detail.state not in _STATES:
        return
    told.add(name)
    began, ended = detail.start_time or detail.create_time, detail.end_time
    seconds = (ended - began).total_seconds() if began and ended else 0.0
    console.finished(name, _STATES[detail.state], max(seconds, 0.0), _message(detail.error).removeprefix(": "))


def _message(error: Any) -> str:
    return f": {' '.join(str(error.message).split())}" if error is not None and error.message else ""
