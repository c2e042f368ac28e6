"""The pods of a package are accepted by a namespace that enforces the Pod Security Standard `restricted`."""

from __future__ import annotations

import functools
from typing import Any

import pytest

from pipeline.kubeflow.compiler import compile_package
from tests.e2e.kubeflow.checks import read_package
from tests.e2e.kubeflow.errors import Unsupported
from tests.unit.deploy.pod_security import violations
from tests.unit.pipeline.kubeflow import films

pytestmark = pytest.mark.tensorflow

_SECCOMP = {"seccompProfile": {"type": "RuntimeDefault"}}
_HARDENED = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}, **_SECCOMP}
# The executor of Kubeflow's manifests (2.16.1, third-party/argo/base/workflow-controller-configmap-patch.yaml).
_EXECUTOR = {**_HARDENED, "runAsNonRoot": True, "runAsUser": 65532}


@functools.cache
def package(**task: Any) -> str:
    return compile_package(films.config(task=task))


def platforms(text: str) -> dict[str, dict[str, Any]]:
    """Returns the Kubernetes settings of each task in the package, by the name of the task."""
    return {task.name: task.platform for task in films.Package(text).tasks}


def pod_of(platform: dict[str, Any]) -> dict[str, Any]:
    """Returns the pod that Kubeflow Pipelines 2.16.1 and Argo Workflows 3.7.8 create for a task.

    KFP: applySecurityContextToExecutorTemplate (argocompiler/security_context.go) and extendPodSpecPatch
    (driver/k8s.go). Argo: newExecContainer and createWorkflowPod (workflow/controller/workflowpod.go).
    """
    executors = [{"name": name, "securityContext": _EXECUTOR} for name in ("init", "wait")]
    launcher = {"name": "kfp-launcher", "securityContext": {**_HARDENED, "runAsNonRoot": True}}
    wanted = platform.get("securityContext", {})
    own = {key: value if key == "runAsNonRoot" else int(value) for key, value in wanted.items()}
    claims = [{"name": p["constant"], "persistentVolumeClaim": {}} for p in platform["pvcMount"]]
    mounted = [{"name": secret["secretName"], "secret": {}} for secret in platform.get("secretAsVolume", ())]
    mounted += [{"name": found["configMapName"], "configMap": {}} for found in platform.get("configMapAsVolume", ())]
    return {
        "securityContext": _SECCOMP,
        "initContainers": [executors[0], launcher],
        "containers": [{"name": "main", "securityContext": {**_HARDENED, **own}}, executors[1]],
        "volumes": [*claims, *mounted, {"name": "kfp-launcher", "emptyDir": {}}],
    }


def test_every_task_is_accepted_where_restricted_is_enforced() -> None:
    tasks = platforms(package())
    assert {"Data", "Trainer", "EvaluateAndPush", "RunReport", "Refused"} <= tasks.keys()
    for platform in tasks.values():
        assert platform["securityContext"] == {"runAsNonRoot": True}
        assert violations(pod_of(platform)) == []


def test_user_and_group_can_be_set() -> None:
    for platform in platforms(package(run_as_user=2000, run_as_group=0)).values():
        assert platform["securityContext"] == {"runAsNonRoot": True, "runAsUser": "2000", "runAsGroup": "0"}
        assert violations(pod_of(platform)) == []


def test_component_can_have_another_user() -> None:
    text = compile_package(films.config(components={"Trainer": {"run_as_user": 3000}}))
    users = {name: platform["securityContext"].get("runAsUser") for name, platform in platforms(text).items()}
    assert {name for name, user in users.items() if user is not None} == {"Trainer"}


def test_older_releases_get_packages_without_a_security_context() -> None:
    with pytest.raises(Unsupported, match=r"securityContext with KFP 2\.15"):
        read_package(package(), "2.15")
    text = package(run_as_non_root=False)
    read_package(text, "2.15")
    for platform in platforms(text).values():
        assert "securityContext" not in platform
        assert violations(pod_of(platform)) == ["main: runAsNonRoot is not true"]
