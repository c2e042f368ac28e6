"""Compiles the graph into a package of Kubeflow Pipelines (schema 2.1.0) with container tasks that run its nodes.

A task gets the whole configuration and the ids of its nodes. It builds the graph again and runs the nodes. Paths are
therefore resolved where the files are, and the cache key describes the code that runs.

    exit handler, always followed by RunReport
      tasks up to the one that contains DataGate
      if its verdict is go:
        the other tasks
        if the verdict of the last task is stop: Refused
      if its verdict is stop: Refused

The task of a refusal succeeds, with the verdict stop. If it failed, Kubeflow would retry it, because Kubeflow does not
distinguish exit codes. Refused then fails the run once, with the reason.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from kfp import compiler, dsl

from errors import ConfigError
from pipeline.config import SCHEMA, SCHEMA_OF_POSITIVES, PipelineConfig
from pipeline.config.sections.beam import Beam
from pipeline.config.sections.kubeflow import TaskResources
from pipeline.kubeflow import containers
from pipeline.kubeflow.containers import GO, REFUSED, RUN_REPORT, STOP, VERDICT, signed
from pipeline.kubeflow.equipment import equip, metadata_arguments, place_arguments
from pipeline.kubeflow.grouping import TaskGroup, group_nodes
from pipeline.kubeflow.parameters import RunParameter, run_parameters
from pipeline.kubeflow.shape import digest, shape_of_config
from pipeline.records import node_ids
from pipeline.records.root import Root
from storage.urls import is_object

MAX_ARGUMENT = 64 * 1024
"""Bytes. Linux refuses a single argument of 128 KiB."""

# When this time has passed since the first attempt began, Argo starts no further attempt and ends a running one
# (workflow/controller/operator.go, processNodeRetries, 3.7.8). The kfp SDK allows at most an hour
# (kfp/dsl/structures.py, RetryPolicy, 2.16.1), which many trainings exceed. Kubeflow uses the value in the package.
_RETRY_WINDOW = ("backoffMaxDuration: 3600s", f"backoffMaxDuration: {30 * 24 * 3600}s")

_LIGHT_NEEDS = {
    # A retry would print the same reason.
    REFUSED: TaskResources(cpu="100m", memory="256Mi", retries=0),
    # It reads records and writes a page, whatever the size of the data.
    RUN_REPORT: TaskResources(cpu="250m", memory="2Gi"),
    # They read schemas, statistics and records. Their memory is that of their imports.
    **dict.fromkeys(
        (
            node_ids.SCHEMA,
            node_ids.VALIDATOR,
            node_ids.LAST_ACCEPTED,
            node_ids.GATE,
            node_ids.LAST_BLESSED,
            node_ids.CARD,
        ),
        TaskResources(cpu="250m", memory="2Gi"),
    ),
}


def compile_package(config: PipelineConfig) -> str:
    """Compiles the graph of `config`.

    Returns:
      The package as YAML. The same configuration gives the same bytes.

    Raises:
      ConfigError: the cluster or a task would refuse the package. The message has the key and the fix.
    """
    root = checked_root(config)
    _check_engine(config.beam)
    _check_data(config)
    shape = shape_of_config(config, Root.at(root, config.name, config.storage))
    _check_components(config, [*shape, RUN_REPORT])
    constants = [*_constants(config), "--graph", digest(shape), "--all-nodes", ",".join(shape)]
    constants += metadata_arguments(config)
    builder = _PackageBuilder(config, constants, place_arguments(config), run_parameters(config, root))
    return _yaml(builder.pipeline(group_nodes(shape, config.kubeflow)))


def _check_engine(beam: Beam) -> None:
    if beam.profile == "dataflow":
        raise ConfigError(
            "beam.profile: dataflow is for `kindred run`. The image of tasks has no client of Dataflow; use local"
        )


class _PackageBuilder:
    """Builds the tasks of one pipeline with the kfp SDK."""

    def __init__(
        self, config: PipelineConfig, constants: list[str], place: list[str], parameters: list[RunParameter]
    ) -> None:
        self._config, self._parameters = config, parameters
        self._kubeflow = config.kubeflow.with_needs(_LIGHT_NEEDS)
        image = config.kubeflow.image
        self._node_container: Callable[[TaskGroup], Any] = lambda group: containers.node_container(
            group.name,
            group.node_ids,
            image,
            [*constants, *place],
            parameters,
            config.data.columns.score is not None,
        )
        self._report_container = containers.report_container(image, [*constants, *place], parameters)
        self._refusal_container = containers.refusal_container(image, place, parameters)

    def pipeline(self, groups: Sequence[TaskGroup]) -> Any:
        """Returns a pipeline of the kfp SDK with one task per group."""
        gate = next(number for number, group in enumerate(groups) if node_ids.GATE in group.node_ids)

        def graph(*values: Any) -> None:
            inputs = {p.name: value for p, value in zip(self._parameters, values, strict=True)}
            tasks: dict[str, Any] = {}
            with dsl.ExitHandler(self._task(self._report_container, RUN_REPORT, RUN_REPORT, inputs), name="run"):
                self._run(groups[: gate + 1], inputs, tasks)
                checked = tasks[groups[gate].name].outputs[VERDICT]
                with dsl.If(checked == GO, name="data-accepted"):
                    self._run(groups[gate + 1 :], inputs, tasks)
                    with dsl.If(tasks[groups[-1].name].outputs[VERDICT] == STOP, name="model-refused"):
                        self._refuse(inputs)
                with dsl.If(checked == STOP, name="data-refused"):
                    self._refuse(inputs)

        made = dsl.pipeline(signed(graph, self._parameters, defaults=True), name=self._config.name)
        described = made.pipeline_spec.root.input_definitions.parameters
        for parameter in self._parameters:
            if parameter.description:
                described[parameter.name].description = parameter.description
        return made

    def _run(self, groups: Sequence[TaskGroup], inputs: Mapping[str, Any], tasks: dict[str, Any]) -> None:
        """Adds the tasks of `groups` to `tasks`."""
        for group in groups:
            needs_most = next((node for node in group.node_ids if node not in _LIGHT_NEEDS), group.node_ids[0])
            task = self._task(self._node_container(group), group.name, needs_most, inputs)
            tasks[group.name] = task.after(*(tasks[other] for other in group.upstream))

    def _refuse(self, inputs: Mapping[str, Any]) -> None:
        root = {name: value for name, value in inputs.items() if name in self._refusal_container.component_spec.inputs}
        self._task(self._refusal_container, REFUSED, REFUSED, root)

    def _task(self, component: Any, name: str, node_id: str, inputs: Mapping[str, Any]) -> Any:
        """Returns one task, with the resources that section `kubeflow` gives to node `node_id`."""
        task = component(**{containers.RUN_ID: dsl.PIPELINE_JOB_ID_PLACEHOLDER}, **inputs)
        # TFX has its own cache, whose key includes spans and code.
        task.set_display_name(name).set_caching_options(False)
        return equip(task, self._kubeflow, node_id)


def checked_root(config: PipelineConfig) -> str:
    """Returns the root of the pipeline, as tasks see it: a directory or a URL.

    Raises:
      ConfigError: tasks would not share the root, or not ML Metadata.
    """
    kubeflow = config.kubeflow
    root = kubeflow.root
    if root is None:
        if not kubeflow.volumes:
            raise ConfigError(
                "kubeflow.root: is not set and kubeflow.volumes is empty, but tasks must share the root; set "
                "kubeflow.root to a URL such as s3://bucket/films, or add a volume with claim and mount"
            )
        root = f"{kubeflow.volumes[0].mount.rstrip('/')}/{config.name}"
    if not is_object(root) and not kubeflow.is_mounted(root):
        raise ConfigError(
            f"kubeflow.root: must be a URL, or on one of kubeflow.volumes, which all tasks share (got {root!r})"
        )
    if is_object(root) and config.beam.is_engine:
        raise ConfigError(
            f"beam.profile: workers of {config.beam.profile} write to the directories of a task, so kubeflow.root must "
            f"be on a volume that they share (got {root!r}); use local"
        )
    if is_object(root) and config.publish.approve:
        raise ConfigError(
            "publish.approve: `kindred approve` writes to the database of a root, and tasks without a volume keep "
            "their records in a service; use false, or a root on a volume with kubeflow.metadata.sqlite"
        )
    sqlite = kubeflow.metadata.sqlite
    if sqlite is not None and not kubeflow.is_mounted(sqlite):
        raise ConfigError(f"kubeflow.metadata.sqlite: must be on one of kubeflow.volumes (got {sqlite!r})")
    return root


def _check_data(config: PipelineConfig) -> None:
    if config.publish.watch is not None:
        raise ConfigError(
            "publish.watch: no task of Kubeflow watches a server; omit the section with --set publish.watch=null, and "
            "let an alert of your monitoring call `kindred rollback`"
        )
    mounts = ", ".join(volume.mount for volume in config.kubeflow.volumes)
    paths = {"data.path": (config.data.path, "--data PATH")}
    if config.publish.replay is not None:
        paths["publish.replay.log"] = (config.publish.replay.log, "--set publish.replay.log=PREFIX")
    for side, features in config.data.features.items():
        key = f"data.{side}_features.path"
        paths[key] = (features.path, f"--set {key}=PATH")
    for key, (path, option) in paths.items():
        if not is_object(path) and not config.kubeflow.is_mounted(path):
            reason = f"kubeflow.volumes are mounted at {mounts}" if mounts else "they have no volume"
            place = "the path as tasks see it" if mounts else "the URL of objects"
            raise ConfigError(f"{key}: {path} does not exist for tasks, because {reason}; give {place} with {option}")


def _check_components(config: PipelineConfig, node_ids: Sequence[str]) -> None:
    for name in config.kubeflow.components:
        if name not in node_ids:
            raise ConfigError(f"kubeflow.components.{name}: no such component; choose one of {', '.join(node_ids)}")


def _constants(config: PipelineConfig) -> list[str]:
    """Returns the configuration as arguments. Includes the user's own schema, which the image does not have."""
    tree = config.to_json()
    del tree["kubeflow"]
    arguments = []
    curated = SCHEMA if config.data.columns.score is not None else SCHEMA_OF_POSITIVES
    if tree.pop("schema") != str(curated):
        arguments = ["--schema", _json(Path(config.schema_path).read_text(encoding="utf-8"))]
    arguments += ["--config", _json(tree)]
    for name, text in zip(arguments[::2], arguments[1::2], strict=True):
        if len(text.encode()) > MAX_ARGUMENT:
            raise ConfigError(
                f"{name}: {len(text.encode()):,} bytes, but an argument of a task has at most {MAX_ARGUMENT:,}; "
                "shorten the pipeline file" + (" or its schema" if name == "--schema" else "")
            )
    return arguments


def _json(value: Any) -> str:
    """Returns JSON without `{{`, which Kubeflow would read as a placeholder, and `$`, which Kubernetes may expand.

    Kubernetes replaces `$$` and `$(NAME)` in arguments. Both signs occur only inside strings, where JSON escapes have
    the same meaning.
    """
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return text.replace("{{", "{\\u007b").replace("$", "\\u0024")


def _yaml(pipeline: Any) -> str:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "package.yaml")
        compiler.Compiler().compile(pipeline, str(path))
        return path.read_text(encoding="utf-8").replace(*_RETRY_WINDOW)
