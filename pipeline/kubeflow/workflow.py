"""The Argo workflow of a run on Kubeflow's API server. It maps tasks to pods.

The API server writes the workflow together with the state of the run. It writes the states of the tasks afterwards, and
may fail before that (`ReportWorkflowResource` in apiserver/resource/resource_manager.go, `reportWorkflow` in
apiserver/server/report_server.go, Kubeflow Pipelines 2.15.0 to 2.17.0). Therefore the workflow of a run that ended has
its last task, but `task_details` may lack it. Only `task_details` are part of API v2beta1, so they replace a workflow
that cannot be read.
"""

from __future__ import annotations

import base64
import dataclasses
import gzip
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

ENDED = ("Succeeded", "Failed", "Error", "Skipped", "Omitted")
_EXECUTOR = re.compile(r"executor(?:\((\d+)\))?")
_DRIVER = "-driver"
# argocompiler/container.go, Kubeflow Pipelines 2.15.0 to 2.17.0: the template of a task that is retried, and of others.
_TEMPLATES = ("retry-system-container-impl", "system-container-impl")
_PHASES = {
    "SUCCEEDED": "Succeeded",
    "FAILED": "Failed",
    "SKIPPED": "Skipped",
    "RUNNING": "Running",
    "PENDING": "Pending",
}


@dataclasses.dataclass(frozen=True)
class Pod:
    """A pod of a task.

    Attributes:
      node: the id of its node in the workflow.
      names: its possible names.
      phase: the phase of its node.
      message: the message of its node from Argo.
    """

    node: str
    names: tuple[str, ...]
    phase: str
    message: str = ""


@dataclasses.dataclass(frozen=True)
class StartedTask:
    """A task of the package that has begun.

    Attributes:
      name: its name in the package.
      phase: a phase of Argo, such as Running. One of `ENDED` after its end.
      seconds: the duration. 0 if it is not known.
      pods: one per attempt, the newest last.
      message: the reason of a failure. Empty if it is not known.
    """

    name: str
    phase: str
    seconds: float = 0.0
    pods: tuple[Pod, ...] = ()
    message: str = ""

    @property
    def has_ended(self) -> bool:
        """Whether the task has ended."""
        return self.phase in ENDED


@dataclasses.dataclass(frozen=True)
class Workflow:
    """The tasks of a run.

    Attributes:
      tasks: the tasks that have begun.
      namespace: the namespace of the pods. Empty if it is not known.
      is_whole: whether the tasks come from the workflow, not from `task_details`.
      is_cancelled: whether somebody cancelled the run.
    """

    tasks: tuple[StartedTask, ...] = ()
    namespace: str = ""
    is_whole: bool = False
    is_cancelled: bool = False


def read_workflow(manifest: str) -> Workflow | None:
    """Returns the workflow in `manifest`, which is JSON of Argo, or None if it has no nodes."""
    try:
        found = json.loads(manifest)
        tasks = _tasks(found["metadata"], list(_nodes(found["status"]).values()))
        namespace = str(found["metadata"].get("namespace", ""))
        # Kubeflow cancels a run by setting its deadline to now (`TerminateWorkflow` in resource_manager.go).
        return Workflow(tasks, namespace, True, found.get("spec", {}).get("activeDeadlineSeconds") == 0)
    except (ValueError, KeyError, TypeError, AttributeError, OSError, EOFError):
        return None


def workflow_of_details(details: Sequence[Any], names: Mapping[str, str]) -> Workflow:
    """Returns the tasks `names` according to `task_details` of API v2beta1.

    Pods are guesses, because their names are not part of the API. They are derived from the ids of the child nodes of a
    task.
    """
    retried = [child for detail in details if detail.display_name == "executor" for child in _children(detail)]
    return Workflow(
        tuple(
            StartedTask(
                detail.display_name,
                phase := _PHASES.get(str(detail.state), "Unknown"),
                _seconds(detail.start_time, detail.end_time) if phase in ENDED else 0.0,
                tuple(
                    Pod(node, _possible_names(node), phase) for node in dict.fromkeys([*_children(detail), *retried])
                ),
                " ".join(str(detail.error.message or "").split()) if detail.error else "",
            )
            for detail in details
            if detail.display_name in names
        )
    )


def _nodes(status: Mapping[str, Any]) -> Mapping[str, Any]:
    """Returns the nodes by id. Argo compresses those of a workflow above 1 MB (workflow/packer/packer.go, 3.7.8)."""
    if not status.get("nodes") and status.get("compressedNodes"):
        return dict(json.loads(gzip.decompress(base64.b64decode(status["compressedNodes"]))))
    return dict(status["nodes"])


def _tasks(metadata: Mapping[str, Any], nodes: Sequence[Mapping[str, Any]]) -> tuple[StartedTask, ...]:
    """Returns the tasks that have begun, in the order of their start."""
    parts: dict[str, list[Mapping[str, Any]]] = {}
    for node in sorted(nodes, key=lambda node: str(node.get("startedAt"))):
        for task in _task_of(node):
            parts.setdefault(task, []).append(node)
    return tuple(_task(metadata, name, own) for name, own in parts.items())


def _task_of(node: Mapping[str, Any]) -> Iterator[str]:
    """Yields the task of a driver or an executor. The name of a node is a path: WORKFLOW.root.….TASK.executor(0)."""
    path = node["name"].split(".")
    if _EXECUTOR.fullmatch(path[-1]):
        yield path[-2]
    elif path[-1].endswith(_DRIVER):
        yield path[-1].removesuffix(_DRIVER)


def _task(metadata: Mapping[str, Any], name: str, nodes: Sequence[Mapping[str, Any]]) -> StartedTask:
    executors = [node for node in nodes if not node["name"].endswith(_DRIVER)]
    whole = min(executors, key=lambda node: len(node["name"]), default=None)
    driver = next((node for node in nodes if node["name"].endswith(_DRIVER)), {})
    if whole is None:
        # An executor starts only after its driver succeeded.
        phase = driver.get("phase", "Pending")
        return StartedTask(name, "Running" if phase == "Succeeded" else phase, message=driver.get("message", ""))
    pods = sorted((node for node in executors if node["type"] == "Pod"), key=_attempt)
    message = next((node["message"] for node in [*reversed(pods), whole] if node.get("message")), "")
    return StartedTask(
        name,
        whole.get("phase", "Pending"),
        _seconds(whole.get("startedAt"), whole.get("finishedAt")),
        tuple(
            Pod(pod["id"], (_pod_name(metadata, pod),), pod.get("phase", "Pending"), pod.get("message", ""))
            for pod in pods
        ),
        message if whole.get("phase") in ("Failed", "Error") else "",
    )


def _attempt(node: Mapping[str, Any]) -> int:
    found = _EXECUTOR.fullmatch(node["name"].split(".")[-1])
    return int(found[1] or 0) if found else 0


def _pod_name(metadata: Mapping[str, Any], node: Mapping[str, Any]) -> str:
    """Returns the name of the pod of a node.

    Source: `GeneratePodName` in workflow/util/pod_name.go, Argo Workflows 3.7.3, 3.7.8 and 4.0.5.

    The id of a node ends with the hash of its name (`NodeID` in workflow_types.go). The annotation is the value of
    POD_NAMES in the controller that started the workflow.
    """
    if metadata.get("annotations", {}).get("workflows.argoproj.io/pod-name-format") == "v1":
        return str(node["id"])
    return _name(metadata["name"], node["templateName"], node["id"])


def _name(workflow: str, template: str, node_id: str) -> str:
    # A name has at most 253 characters. Argo reserves 11 of them for the hash.
    return f"{f'{workflow}-{template}'[:242]}-{node_id.rpartition('-')[2]}"


def _possible_names(node_id: str) -> tuple[str, ...]:
    workflow = node_id.rpartition("-")[0]
    return (*(_name(workflow, template, node_id) for template in _TEMPLATES), node_id)


def _children(detail: Any) -> list[str]:
    """Returns the ids of the child nodes. `toModelTask` (apiserver/server/api_converter.go) calls them pod names."""
    return [child.pod_name for child in detail.child_tasks or () if child.pod_name]


def _seconds(began: Any, ended: Any) -> float:
    """Returns the seconds between two times of Argo or of the API, or 0 if one is missing."""
    if not began or not ended:
        return 0.0
    times = (datetime.fromisoformat(at.replace("Z", "+00:00")) if isinstance(at, str) else at for at in (began, ended))
    first, last = times
    # The API returns the year 1 or 1970 for an event that has not happened.
    return max((last - first).total_seconds(), 0.0) if first.year > 1970 else 0.0
