"""The Argo workflow of a run, as Kubeflow's API server keeps it: which task runs in which pods.

The API server writes the workflow together with the state of the run, and the states of the tasks afterwards, if it
gets that far (`ReportWorkflowResource` in apiserver/resource/resource_manager.go, `reportWorkflow` in
apiserver/server/report_server.go, Kubeflow Pipelines 2.15.0 to 2.17.0). So the workflow of a run that ended has its
last task, which `task_details` may never have. Only `task_details` are part of API v2beta1, so they stand in for a
workflow that cannot be read.
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
      names: the names that it may have.
      phase: the phase of its node.
      message: what Argo says about its node.
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
      phase: a phase of Argo, such as Running; one of `ENDED` once nothing more comes.
      seconds: how long it took, 0 if it is not known.
      pods: an attempt each, the newest last.
      message: why it failed, if it is known.
    """

    name: str
    phase: str
    seconds: float = 0.0
    pods: tuple[Pod, ...] = ()
    message: str = ""

    @property
    def has_ended(self) -> bool:
        """Whether nothing more comes of it."""
        return self.phase in ENDED


@dataclasses.dataclass(frozen=True)
class Workflow:
    """What is known of the tasks of a run. `is_whole`: by the workflow, not by `task_details`."""

    tasks: tuple[StartedTask, ...] = ()
    namespace: str = ""
    is_whole: bool = False
    is_cancelled: bool = False


def read_workflow(manifest: str) -> Workflow | None:
    """Returns the workflow in `manifest`, JSON of Argo; None if it has no nodes."""
    try:
        found = json.loads(manifest)
        tasks = _tasks(found["metadata"], list(_nodes(found["status"]).values()))
        namespace = str(found["metadata"].get("namespace", ""))
        # Kubeflow cancels a run by setting its deadline to now (`TerminateWorkflow` in resource_manager.go).
        return Workflow(tasks, namespace, True, found.get("spec", {}).get("activeDeadlineSeconds") == 0)
    except (ValueError, KeyError, TypeError, AttributeError, OSError, EOFError):
        return None


def workflow_of_details(details: Sequence[Any], names: Mapping[str, str]) -> Workflow:
    """Returns what `task_details` of API v2beta1 tell of the tasks `names`.

    Pods are guesses: their names are not part of the API, but a task has the ids of its child nodes, of which the
    names of their pods are made.
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
    """The nodes by id. Argo compresses those of a workflow of more than 1 MB (workflow/packer/packer.go, 3.7.8)."""
    if not status.get("nodes") and status.get("compressedNodes"):
        return dict(json.loads(gzip.decompress(base64.b64decode(status["compressedNodes"]))))
    return dict(status["nodes"])


def _tasks(metadata: Mapping[str, Any], nodes: Sequence[Mapping[str, Any]]) -> tuple[StartedTask, ...]:
    """The tasks that have begun, in the order in which they did."""
    parts: dict[str, list[Mapping[str, Any]]] = {}
    for node in sorted(nodes, key=lambda node: str(node.get("startedAt"))):
        for task in _task_of(node):
            parts.setdefault(task, []).append(node)
    return tuple(_task(metadata, name, own) for name, own in parts.items())


def _task_of(node: Mapping[str, Any]) -> Iterator[str]:
    """The task of a driver or an executor. The name of a node is a path: WORKFLOW.root.….TASK.executor(0)."""
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
        # An executor follows a driver that succeeded, and only that.
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
    """The pod of a node: `GeneratePodName` in workflow/util/pod_name.go, Argo Workflows 3.7.3, 3.7.8 and 4.0.5.

    The hash is that of the node's name, with which its id ends (`NodeID` in workflow_types.go). The annotation has the
    value of POD_NAMES at the controller that started the workflow.
    """
    if metadata.get("annotations", {}).get("workflows.argoproj.io/pod-name-format") == "v1":
        return str(node["id"])
    return _name(metadata["name"], node["templateName"], node["id"])


def _name(workflow: str, template: str, node_id: str) -> str:
    # A name has at most 253 characters; Argo keeps 11 for the hash.
    return f"{f'{workflow}-{template}'[:242]}-{node_id.rpartition('-')[2]}"


def _possible_names(node_id: str) -> tuple[str, ...]:
    workflow = node_id.rpartition("-")[0]
    return (*(_name(workflow, template, node_id) for template in _TEMPLATES), node_id)


def _children(detail: Any) -> list[str]:
    """The ids of the nodes below: `toModelTask` in apiserver/server/api_converter.go calls them names of pods."""
    return [child.pod_name for child in detail.child_tasks or () if child.pod_name]


def _seconds(began: Any, ended: Any) -> float:
    """Between two times, of Argo or of the API; 0 if one is missing."""
    if not began or not ended:
        return 0.0
    times = (datetime.fromisoformat(at.replace("Z", "+00:00")) if isinstance(at, str) else at for at in (began, ended))
    first, last = times
    # The API gives the year 1 or 1970 for a time that has not come.
    return max((last - first).total_seconds(), 0.0) if first.year > 1970 else 0.0
