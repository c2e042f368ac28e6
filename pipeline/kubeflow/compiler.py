"""From the graph to a package of Kubeflow Pipelines (schema 2.1.0): one container task per node.

A task is told the whole configuration and its own node id; it makes the graph again and runs its node. So a path is
seen where the files are, and the code that the cache knows is the code that runs.
"""

from __future__ import annotations

import inspect
import json
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from kfp import compiler, dsl

from components.pair_example_gen.files import is_remote
from pipeline.beam.engine import check_root
from pipeline.config import SCHEMA, SCHEMA_OF_POSITIVES, PipelineConfig
from pipeline.errors import ConfigError
from pipeline.graph import PUSHER
from pipeline.kubeflow import parameters as run
from pipeline.kubeflow.equipment import equip, metadata_arguments
from pipeline.kubeflow.parameters import RunParameter
from pipeline.kubeflow.shape import digest, shape_of_config

MAX_ARGUMENT = 64 * 1024
"""Bytes. Linux refuses a single argument of 128 KiB."""

_COMMAND = ["python", "-m", "pipeline.kubeflow.node"]
_OPTIONS = {run.DATA_PATH: "--data", run.SPAN: "--span", run.ROOT: "--root", run.ACCEPT: "--accept-anomalies"}


def compile_package(config: PipelineConfig) -> str:
    """The package of the graph of `config`, as YAML; the same configuration gives the same bytes.

    Raises:
      ConfigError: the cluster, or a task there, would refuse it; says the key and what to change.
    """
    root = checked_root(config)
    check_root(config.beam, root)
    _check_data(config)
    shape = shape_of_config(config, Path(root))
    _check_components(config, list(shape))
    parameters = run.run_parameters(config, root)
    constants = [*_constants(config), "--graph", digest(shape), *metadata_arguments(config)]

    def graph(*values: Any) -> None:
        tasks: dict[str, Any] = {}
        for node_id, upstream in shape.items():
            component = _component(node_id, config.kubeflow.image, constants, parameters)
            task = component(**{p.name: value for p, value in zip(parameters, values, strict=True)})
            # TFX has a cache of its own, which knows about spans and code.
            task.set_display_name(node_id).set_caching_options(False).after(*(tasks[other] for other in upstream))
            tasks[node_id] = equip(task, config.kubeflow, node_id)

    return _yaml(dsl.pipeline(_signed(graph, parameters, defaults=True), name=config.name))


def checked_root(config: PipelineConfig) -> str:
    """Where the state of the pipeline is kept, as tasks see it.

    Raises:
      ConfigError: it is on no volume.
    """
    kubeflow = config.kubeflow
    root = kubeflow.root
    if root is None:
        if not kubeflow.volumes:
            raise ConfigError(
                "kubeflow.volumes: there is none, and tasks must share the root; name a claim and a mount"
            )
        root = f"{kubeflow.volumes[0].mount.rstrip('/')}/{config.name}"
    if not kubeflow.is_mounted(root):
        raise ConfigError(f"kubeflow.root: must lie on one of kubeflow.volumes, which all tasks share (got {root!r})")
    sqlite = kubeflow.metadata.sqlite
    if sqlite is not None and not kubeflow.is_mounted(sqlite):
        raise ConfigError(f"kubeflow.metadata.sqlite: must lie on one of kubeflow.volumes (got {sqlite!r})")
    return root


def _check_data(config: PipelineConfig) -> None:
    path = config.data.path
    if not is_remote(path) and not config.kubeflow.is_mounted(path):
        mounts = ", ".join(volume.mount for volume in config.kubeflow.volumes)
        raise ConfigError(
            f"data.path: {path} is not where tasks would find it: kubeflow.volumes are mounted at {mounts}; "
            "give the path as tasks see it with --data PATH"
        )


def _check_components(config: PipelineConfig, node_ids: Sequence[str]) -> None:
    for name in config.kubeflow.components:
        if name not in node_ids:
            raise ConfigError(f"kubeflow.components.{name}: no such component; there is {', '.join(node_ids)}")


def _constants(config: PipelineConfig) -> list[str]:
    """The configuration as arguments; a schema of the user's own goes along whole, as the image does not have it."""
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
                f"{name}: {len(text.encode()):,} bytes, and an argument of a task has at most {MAX_ARGUMENT:,}; "
                "shorten the pipeline file" + (" or its schema" if name == "--schema" else "")
            )
    return arguments


def _json(value: Any) -> str:
    """JSON without two opening braces in a row, which Kubeflow would read as a placeholder.

    They occur only inside strings, where the second may be an escape.
    """
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).replace("{{", "{\\u007b")


def _component(node_id: str, image: str, constants: list[str], parameters: list[RunParameter]) -> Any:
    """The component of one node. Its id stands in its arguments, as KFP lets equal containers share one.

    Each has a summary for people; that which comes last has the report of the run, too.
    """
    outputs: dict[str, Any] = {"summary": dsl.Output[dsl.Markdown]}
    if node_id == PUSHER:
        outputs["report"] = dsl.Output[dsl.HTML]

    def task(*values: Any) -> dsl.ContainerSpec:
        inputs, places = values[: len(parameters)], values[len(parameters) :]
        arguments: list[Any] = ["--node", node_id, "--run-id", dsl.PIPELINE_JOB_ID_PLACEHOLDER]
        for parameter, value in zip(parameters, inputs, strict=True):
            option = _OPTIONS.get(parameter.name)
            arguments += [option, value] if option else ["--set", parameter.key, value]
        for name, place in zip(outputs, places, strict=True):
            arguments += [f"--{name}", place.path]
        return dsl.ContainerSpec(image=image, command=_COMMAND, args=[*arguments, *constants])

    task.__name__ = node_id
    more = [
        inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=kind)
        for name, kind in outputs.items()
    ]
    return dsl.container_component(_signed(task, parameters, more=more))


def _signed(
    function: Callable[..., Any],
    parameters: list[RunParameter],
    defaults: bool = False,
    more: Sequence[inspect.Parameter] = (),
) -> Callable[..., Any]:
    """`function` with the signature that the kfp SDK reads inputs from."""
    signature = [
        inspect.Parameter(
            parameter.name,
            inspect.Parameter.POSITIONAL_OR_KEYWORD,
            annotation=type(parameter.default),
            default=parameter.default if defaults else inspect.Parameter.empty,
        )
        for parameter in parameters
    ]
    function.__signature__ = inspect.Signature([*signature, *more])  # type: ignore[attr-defined]
    return function


def _yaml(pipeline: Any) -> str:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "package.yaml")
        compiler.Compiler().compile(pipeline, str(path))
        return path.read_text(encoding="utf-8")
