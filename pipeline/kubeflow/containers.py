"""The three kinds of containers in a package: nodes of the graph, the task that fails a refused run, the run report.

KFP's driver fills in the id of a run only where it is the constant of a task's input
(backend/src/v2/driver/resolve.go, 2.16.1). Elsewhere the placeholder stays text, and all runs would share one id.
Therefore the id is an input of each task, and the compiler sets it.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

from kfp import dsl

from pipeline.kubeflow import parameters as run
from pipeline.kubeflow.parameters import RunParameter
from pipeline.kubeflow.ui_artifacts import CLASSES, DATASET, METRICS, MODEL
from pipeline.records import node_ids as ids

RUN_ID = "run_id"
VERDICT = "verdict"
"""The output of a task that runs nodes: GO or STOP."""
GO, STOP = "go", "stop"
REFUSED, RUN_REPORT = "Refused", "RunReport"

EXECUTOR_INPUT = "{{$}}"
"""Kubeflow replaces it by JSON with the values of inputs and the places of outputs."""

_OF_NODES = {ids.EXAMPLE_GEN: (DATASET, dsl.Dataset), ids.PUSHER: (MODEL, dsl.Model)}
_OF_SCORES = {ids.EVALUATOR: (CLASSES, dsl.ClassificationMetrics)}
"""Artifacts for the user interface, by the node that makes them."""

_OPTIONS = {run.DATA_PATH: "--data", run.SPAN: "--span", run.ROOT: "--root", run.ACCEPT: "--accept-anomalies"}


def node_container(
    name: str,
    node_ids: Sequence[str],
    image: str,
    constants: Sequence[str],
    parameters: Sequence[RunParameter],
    scored: bool = True,
) -> Any:
    """Returns the component of a task that runs `node_ids` in order.

    Args:
      name: the name of the task. Components with different names have different containers.
      node_ids: the nodes, in the order of the graph.
      image: the image of every task.
      constants: arguments that are the same in every task and run.
      parameters: the parameters of a run, which become inputs next to the run's id.
      scored: whether pairs have scores, which have classes.
    """
    made = _OF_NODES | (_OF_SCORES if scored else {})
    outputs = {"summary": dsl.Output[dsl.Markdown], VERDICT: dsl.OutputPath(str)}
    outputs |= {output: dsl.Output[kind] for node_id, (output, kind) in made.items() if node_id in node_ids}
    module = "pipeline.kubeflow.node"
    return _component(name, module, ["--nodes", ",".join(node_ids)], image, constants, parameters, outputs)


def report_container(image: str, constants: Sequence[str], parameters: Sequence[RunParameter]) -> Any:
    """Returns the component of the exit task, which ends the record of a run and writes its report."""
    outputs = {
        "summary": dsl.Output[dsl.Markdown],
        "report": dsl.Output[dsl.HTML],
        "record": dsl.Output[dsl.Artifact],
        METRICS: dsl.Output[dsl.Metrics],
    }
    return _component(RUN_REPORT, "pipeline.kubeflow.run_report", [], image, constants, parameters, outputs)


def refusal_container(image: str, place: Sequence[str], parameters: Sequence[RunParameter]) -> Any:
    """Returns the component of the task that fails a refused run. Its only parameter is the root.

    Args:
      image: the image of every task.
      place: arguments that find the root.
      parameters: the parameters of a run.
    """
    root = [parameter for parameter in parameters if parameter.name == run.ROOT]
    return _component(REFUSED, "pipeline.kubeflow.refused", [], image, place, root, {})


def signed(
    function: Callable[..., Any],
    parameters: Sequence[RunParameter],
    first: Sequence[inspect.Parameter] = (),
    last: Sequence[inspect.Parameter] = (),
    defaults: bool = False,
) -> Callable[..., Any]:
    """Sets the signature of `function`, from which the kfp SDK reads inputs and outputs, and returns it."""
    inputs = [
        _argument(parameter.name, type(parameter.default), parameter.default if defaults else inspect.Parameter.empty)
        for parameter in parameters
    ]
    function.__signature__ = inspect.Signature([*first, *inputs, *last])  # type: ignore[attr-defined]
    return function


def _component(
    name: str,
    module: str,
    arguments: Sequence[str],
    image: str,
    constants: Sequence[str],
    parameters: Sequence[RunParameter],
    outputs: dict[str, Any],
) -> Any:
    def task(run_id: Any, *values: Any) -> dsl.ContainerSpec:
        inputs, places = values[: len(parameters)], values[len(parameters) :]
        words: list[Any] = [*arguments, "--run-id", run_id]
        for parameter, value in zip(parameters, inputs, strict=True):
            option = _OPTIONS.get(parameter.name)
            words += [option, value] if option else ["--set", parameter.key, value]
        for output, place in zip(outputs, places, strict=True):
            words += [f"--{output}", getattr(place, "path", place)]
        if outputs:
            words += ["--executor-input", EXECUTOR_INPUT]
        return dsl.ContainerSpec(image=image, command=["python", "-m", module], args=[*words, *constants])

    task.__name__ = name
    first = [_argument(RUN_ID, str)]
    last = [_argument(output, kind) for output, kind in outputs.items()]
    return dsl.container_component(signed(task, parameters, first, last))


def _argument(name: str, kind: Any, default: Any = inspect.Parameter.empty) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=kind, default=default)
