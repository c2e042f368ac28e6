"""Groups nodes into tasks. A task is a pod, and starting a pod takes about 20 s."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from pipeline.config.sections.kubeflow import Kubeflow
from pipeline.records import node_ids

Shape = Mapping[str, list[str]]
"""Node ids in the order of the graph, each with the ids of the nodes that it waits for."""

# Nodes that take long and often need a dedicated machine.
_HEAVY = (node_ids.TUNER, node_ids.TRAINER)
_NAMES = {node_ids.GATE: "Data", node_ids.EVALUATOR: "EvaluateAndPush"}


@dataclasses.dataclass(frozen=True)
class TaskGroup:
    """A task.

    Attributes:
      name: the display name.
      node_ids: the nodes that it runs, in order.
      upstream: the names of the tasks that it waits for.
    """

    name: str
    node_ids: tuple[str, ...]
    upstream: tuple[str, ...]


def group_nodes(shape: Shape, kubeflow: Kubeflow) -> list[TaskGroup]:
    """Returns the tasks of a graph. Each task follows the tasks that it waits for.

    Only neighbors in the order of the graph share a task, so that tasks never wait for each other in a circle. A heavy
    node gets its own task. So does a node whose resources in `kubeflow.components` differ from its neighbor's.

    Args:
      shape: the nodes and their edges.
      kubeflow: whether to group (`group`), and the resources of each node.
    """
    batches: list[list[str]] = []
    for node_id in shape:
        if batches and kubeflow.group == "light" and _fits(batches[-1][-1], node_id, kubeflow):
            batches[-1].append(node_id)
        else:
            batches.append([node_id])
    names = _names(batches)
    task_of = {node_id: name for name, batch in zip(names, batches, strict=True) for node_id in batch}
    return [
        TaskGroup(name, tuple(batch), _upstream(name, batch, shape, task_of))
        for name, batch in zip(names, batches, strict=True)
    ]


def _fits(previous: str, node_id: str, kubeflow: Kubeflow) -> bool:
    is_light = previous not in _HEAVY and node_id not in _HEAVY
    return is_light and kubeflow.task_of(previous) == kubeflow.task_of(node_id)


def _names(batches: list[list[str]]) -> list[str]:
    """Returns the name of each batch: the id of a single node, or the name of the stage of several nodes."""
    names = []
    for batch in batches:
        stage = next((name for node_id, name in _NAMES.items() if node_id in batch), None)
        names.append(batch[0] if len(batch) == 1 else stage or f"{batch[0]}To{batch[-1]}")
    return names


def _upstream(name: str, batch: list[str], shape: Shape, task_of: Mapping[str, str]) -> tuple[str, ...]:
    waited_for = {task_of[other] for node_id in batch for other in shape[node_id]}
    return tuple(sorted(waited_for - {name}))
