"""A fake Argo workflow like that of Kubeflow's compiler, Argo's controller and Kubeflow's API server.

Names of templates and nodes: argocompiler/container.go, dag.go and common.go of Kubeflow Pipelines 2.15.0 to 2.17.0,
and workflow/controller/operator.go, workflow/common/util.go of Argo Workflows 3.7.8. Names of pods:
workflow/util/pod_name.go of Argo Workflows 3.7.3, 3.7.8 and 4.0.5.
"""

from __future__ import annotations

import base64
import dataclasses
import gzip
import json
import uuid
from typing import Any

BEGAN, ENDED, CREATED = "2026-11-25T10:00:00Z", "2026-11-25T10:00:07Z", "2026-11-25T09:59:58Z"
_DONE = ("Succeeded", "Failed", "Error", "Skipped", "Omitted")
_STATES = {"Pending", "Running", "Succeeded", "Skipped", "Failed"}
"""The phases of Argo that are states of the API: `ToV2` in apiserver/model/run.go. It lacks Omitted."""


@dataclasses.dataclass(frozen=True)
class Attempt:
    """A pod of a task. `log` is None if it cannot be read."""

    phase: str = "Succeeded"
    log: str | None = ""
    message: str = ""


@dataclasses.dataclass(frozen=True)
class FakeTask:
    """A task whose driver succeeded, or failed with `driver_message`."""

    name: str
    phase: str = "Succeeded"
    attempts: tuple[Attempt, ...] = ()
    is_retried: bool = True
    is_exit: bool = False
    driver_message: str = ""


def done(name: str, *lines: str, **options: Any) -> FakeTask:
    """Returns a succeeded task whose log has `lines`."""
    return FakeTask(name, "Succeeded", (Attempt(log="\n".join(["I1125 launcher", *lines, ""])),), **options)


def running(name: str, *lines: str) -> FakeTask:
    """Returns a running task whose log has `lines` so far."""
    return FakeTask(name, "Running", (Attempt("Running", "\n".join(lines)),))


class FakeWorkflow:
    """The workflow of a run with `tasks`.

    Attributes:
      nodes: the nodes by their names.
      logs: the logs of pods by their names.
      archive: the logs of ended pods by the ids of their nodes. With `archiveLogs`, Argo stores each as an artifact.
    """

    def __init__(
        self,
        *tasks: FakeTask,
        phase: str = "Running",
        pod_names: str = "v2",
        name: str = "films-x7k2p",
        is_terminated: bool = False,
    ) -> None:
        self.name, self.phase, self._version, self._is_terminated = name, phase, pod_names, is_terminated
        self.nodes: dict[str, dict[str, Any]] = {}
        self.logs: dict[str, str] = {}
        self.archive: dict[str, str] = {}
        handler = f"{name}.root.exit-handler-1"
        self._node(name, "DAG", "entrypoint", phase, [f"{name}.root-driver"])
        self._node(f"{name}.root-driver", "Pod", "system-dag-driver", "Succeeded", [f"{name}.root"])
        self._node(f"{name}.root", "DAG", "root", phase, [f"{handler}-driver"])
        self._node(f"{handler}-driver", "Pod", "system-dag-driver", "Succeeded", [handler])
        self._node(handler, "DAG", "comp-exit-handler-1", phase, [f"{handler}.{task.name}-driver" for task in tasks])
        for task in tasks:
            # An exit task runs in a hook: `GenerateOnExitNodeName` in workflow/common/util.go.
            self._task(f"{handler}.onExit" if task.is_exit else handler, task)

    def manifest(self, is_compressed: bool = False) -> str:
        """Returns the workflow as JSON. Argo compresses the nodes of a large workflow: workflow/packer/packer.go."""
        nodes = {node["id"]: node for node in self.nodes.values()}
        status: dict[str, Any] = {"phase": self.phase, "nodes": nodes}
        if is_compressed:
            packed = base64.b64encode(gzip.compress(json.dumps(nodes).encode())).decode()
            status = {"phase": self.phase, "compressedNodes": packed}
        metadata = {
            "name": self.name,
            "namespace": "team",
            "creationTimestamp": CREATED,
            "annotations": {"workflows.argoproj.io/pod-name-format": self._version},
        }
        spec = {"activeDeadlineSeconds": 0} if self._is_terminated else {}
        return json.dumps({"metadata": metadata, "spec": spec, "status": status})

    def details(self) -> list[dict[str, Any]]:
        """Returns `task_details`: `toModelTasks`, `toApiPipelineTaskDetail` in apiserver/server/api_converter.go.

        No detail has the id of its own node or the name of its pod. It has the ids of its child nodes as pod names.
        """
        return [self._detail(node) for node in sorted(self.nodes.values(), key=lambda node: str(node["id"]))]

    def _detail(self, node: dict[str, Any]) -> dict[str, Any]:
        detail = {
            "task_id": str(uuid.uuid4()),
            "display_name": node["displayName"],
            "create_time": CREATED,
            "start_time": BEGAN,
            # The zero time of Go, converted to seconds since 1970.
            "end_time": node["finishedAt"] or "0001-01-01T00:00:00Z",
            "child_tasks": [{"pod_name": child} for child in node["children"]],
        }
        state = {"Error": "Failed"}.get(node["phase"], node["phase"])
        # A value of 0 is omitted: `CustomMarshaler` in apiserver/common/utils.go.
        return detail | ({"state": state.upper()} if state in _STATES else {})

    def _task(self, parent: str, task: FakeTask) -> None:
        path, retry = f"{parent}.{task.name}", "retry-" if task.is_retried else ""
        driver = "Failed" if task.driver_message else "Omitted" if task.phase == "Omitted" else "Succeeded"
        self._node(f"{path}-driver", "Pod", "system-container-driver", driver, [path], task.driver_message)
        if driver != "Succeeded":
            self._node(path, "Skipped", f"{retry}system-container-executor", "Omitted", [])
            return
        self._node(path, "DAG", f"{retry}system-container-executor", task.phase, [f"{path}.executor"])
        template = f"{retry}system-container-impl"
        if not task.is_retried:
            (attempt,) = task.attempts
            self._pod(f"{path}.executor", template, attempt)
            return
        tries = [f"{path}.executor({number})" for number in range(len(task.attempts))]
        message = task.attempts[-1].message if task.attempts and task.phase == "Failed" else ""
        self._node(f"{path}.executor", "Retry", template, task.phase, tries, message)
        for name, attempt in zip(tries, task.attempts, strict=True):
            self._pod(name, template, attempt)

    def _pod(self, name: str, template: str, attempt: Attempt) -> None:
        self._node(name, "Pod", template, attempt.phase, [], attempt.message)
        if attempt.log is not None:
            pod = f"{self.name}-{template}"[:242] + f"-{_hash(name)}" if self._version == "v2" else self._id(name)
            self.logs[pod] = attempt.log
            if attempt.phase in _DONE:
                self.archive[self._id(name)] = attempt.log

    def _node(self, name: str, kind: str, template: str, phase: str, children: list[str], message: str = "") -> None:
        self.nodes[name] = {
            "id": self._id(name),
            "name": name,
            "displayName": name.rpartition(".")[2],
            "type": kind,
            "templateName": template,
            "phase": phase,
            "startedAt": BEGAN,
            "finishedAt": ENDED if phase in _DONE else None,
            "children": [self._id(child) for child in children],
            **({"message": message} if message else {}),
        }

    def _id(self, name: str) -> str:
        """`NodeID` in pkg/apis/workflow/v1alpha1/workflow_types.go."""
        return name if name == self.name else f"{self.name}-{_hash(name)}"


def _hash(text: str) -> int:
    """FNV-1a of 32 bits, as hash/fnv of Go."""
    value = 0x811C9DC5
    for byte in text.encode():
        value = (value ^ byte) * 0x01000193 & 0xFFFFFFFF
    return value
