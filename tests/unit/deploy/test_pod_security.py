"""Every pod of deploy/ is accepted by a namespace that enforces the Pod Security Standard `restricted`."""

from __future__ import annotations

import copy
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from pipeline.kubeflow.metadata_service import TLS_FOLDER, _parser
from tests.unit.deploy.pod_security import violations

DEPLOY = Path(__file__).resolve().parents[3] / "deploy"
KUBEFLOW = DEPLOY / "kubeflow"
FILES = [path for path in sorted(DEPLOY.rglob("*.yaml")) if path.name not in ("kustomization.yaml", "compose.yaml")]
MANIFESTS = [(path, manifest) for path in FILES for manifest in yaml.safe_load_all(path.read_text(encoding="utf-8"))]
WITHOUT_PODS = {
    "ConfigMap", "HorizontalPodAutoscaler", "NetworkPolicy", "PersistentVolumeClaim", "PodDisruptionBudget", "Role",
    "RoleBinding", "Service", "ServiceAccount",
}  # fmt: skip
GOOD: dict[str, Any] = {
    "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
    "containers": [
        {"name": "a", "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}}
    ],
    "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}],
}


def pods_of(manifest: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Returns the pod specifications in an object, by name."""
    kind, spec, name = manifest["kind"], manifest["spec"], manifest["metadata"]["name"]
    if kind == "InferenceService":
        predictor = spec["predictor"]
        own = [{"name": "kserve-container", **predictor["model"]}] if "model" in predictor else predictor["containers"]
        return {name: {**predictor, "containers": own}}
    if kind == "FlinkDeployment":
        # The operator fills in images, ports and volumes.
        return {f"{name}-{part}": spec[part]["podTemplate"]["spec"] for part in ("jobManager", "taskManager")}
    return {name: spec["template"]["spec"]}


def all_pods() -> Iterator[Any]:
    for path, manifest in MANIFESTS:
        if manifest["kind"] not in WITHOUT_PODS:
            for name, pod in pods_of(manifest).items():
                yield pytest.param(pod, id=f"{path.relative_to(DEPLOY)}: {name}")


def kubeflow_with(component: str) -> list[dict[str, Any]]:
    """Returns the objects of deploy/kubeflow with the changes of a Kustomize component."""
    return changed(KUBEFLOW, component)


def changed(folder: Path, component: str) -> list[dict[str, Any]]:
    """Returns the objects of a folder with the changes of a Kustomize component in it."""
    found = [copy.deepcopy(manifest) for path, manifest in MANIFESTS if folder in path.parents]
    changes = yaml.safe_load((folder / component / "kustomization.yaml").read_text(encoding="utf-8"))
    assert changes["kind"] == "Component" and changes.keys() - {"images"} == {"apiVersion", "kind", "patches"}
    for change in changes["patches"]:
        target = (change["target"]["kind"], change["target"]["name"])
        (manifest,) = (each for each in found if (each["kind"], each["metadata"]["name"]) == target)
        for step in yaml.safe_load(change["patch"]):
            *way, last = step["path"].strip("/").split("/")
            place = manifest
            for key in way:
                place = place[int(key)] if isinstance(place, list) else place[key]
            if step["op"] == "remove":
                del place[last]
            elif last == "-":
                place.append(step["value"])
            else:
                assert step["op"] == "add"
                place[last] = step["value"]
    return found


@pytest.mark.parametrize("pod", list(all_pods()))
def test_restricted_accepts_every_pod(pod: dict[str, Any]) -> None:
    assert violations(pod) == []


# Flink writes to its own installation, and its operator sets the resources.
@pytest.mark.parametrize("pod", [pod for pod in all_pods() if not str(pod.id).startswith("flink/")])
def test_every_container_is_read_only_and_has_bounds(pod: dict[str, Any]) -> None:
    for container in pod["containers"]:
        assert container["securityContext"]["readOnlyRootFilesystem"] is True
        assert container["resources"]["requests"].keys() >= {"cpu", "memory"}
        assert "memory" in container["resources"]["limits"]


@pytest.mark.parametrize("component", ["openshift", "root-owned-volume", "tls", "workload-identity"])
def test_components_are_valid_by_the_schema(component: str) -> None:
    for manifest in kubeflow_with(component):
        kubernetes_validate.validate(manifest, kubernetes_validate.latest_version(), strict=True)


@pytest.mark.parametrize("component", ["openshift", "root-owned-volume", "tls", "workload-identity"])
def test_kustomize_applies_components_alike(component: str, tmp_path: Path) -> None:
    if shutil.which("kubectl") is None:
        pytest.skip("there is no kubectl here, whose kustomize would apply the component")
    folder = shutil.copytree(KUBEFLOW, tmp_path / "kubeflow")
    with (folder / "kustomization.yaml").open("a", encoding="utf-8") as file:
        file.write(f"components: [{component}]\n")
    done = subprocess.run(["kubectl", "kustomize", folder], capture_output=True, text=True, check=True)
    applied = {(m["kind"], m["metadata"]["name"]): m["spec"] for m in yaml.safe_load_all(done.stdout) if "spec" in m}
    for manifest in kubeflow_with(component):
        if manifest["kind"] not in WITHOUT_PODS:
            (expected,) = pods_of(manifest).values()
            pod = applied[manifest["kind"], manifest["metadata"]["name"]]["template"]["spec"]
            assert yaml.safe_dump(pod).replace("kindred:0.1.0", "kindred") == yaml.safe_dump(expected)


def test_only_the_root_owned_volume_needs_baseline() -> None:
    for manifest in kubeflow_with("root-owned-volume"):
        if manifest["kind"] not in WITHOUT_PODS:
            (pod,) = pods_of(manifest).values()
            assert violations(pod, "baseline") == []
            refused = {words.partition(":")[0] for words in violations(pod)}
            assert refused == ({"owner"} if manifest["kind"] == "Job" else set())


def test_openshift_chooses_every_user_and_group() -> None:
    for manifest in kubeflow_with("openshift"):
        if manifest["kind"] not in WITHOUT_PODS:
            (pod,) = pods_of(manifest).values()
            assert violations(pod) == []
            for part in (pod, *pod["containers"]):
                assert not {"runAsUser", "runAsGroup", "fsGroup"} & part["securityContext"].keys()


def test_service_with_tls_reads_the_certificates_of_the_secret() -> None:
    (deployment,) = (m for m in kubeflow_with("tls") if m["kind"] == "Deployment")
    (pod,) = pods_of(deployment).values()
    (container,) = pod["containers"]
    assert _parser().parse_args(container["args"]).tls is True
    (mount,) = (mount for mount in container["volumeMounts"] if mount["name"] == "tls")
    assert (mount["mountPath"], mount["readOnly"]) == (str(TLS_FOLDER), True)
    assert {"name": "tls", "secret": {"secretName": "kindred-metadata-tls"}} in pod["volumes"]
    assert violations(pod) == []


def test_volume_check_runs_as_tasks() -> None:
    """Otherwise the check could write where tasks cannot."""
    (job,) = (manifest for _, manifest in MANIFESTS if manifest["kind"] == "Job")
    (pod,) = pods_of(job).values()
    dockerfile = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
    context = pod["securityContext"]
    assert f"useradd --uid {context['runAsUser']} --gid {context['runAsGroup']} " in dockerfile
    assert context["fsGroup"] == context["runAsGroup"] and "supplementalGroups" not in context
    assert pod["containers"][0]["command"] == ["python", "-m", "pipeline.kubeflow.volume", "/kindred"]


def _changed(**changes: Any) -> dict[str, Any]:
    """Returns the valid pod with changed values, by path from the pod, or from its container after a leading `c`."""
    pod = copy.deepcopy(GOOD)
    for path, value in changes.items():
        *way, last = path.split("__")
        place: Any = pod
        for key in way:
            place = place["containers"][0] if key == "c" else place.setdefault(key, {})
        place[last] = value
    return pod


@pytest.mark.parametrize(
    ("changes", "levels"),
    [
        ({}, []),
        ({"c__securityContext__capabilities": {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]}}, []),
        ({"securityContext__runAsNonRoot": False}, ["restricted"]),
        ({"securityContext": {}}, ["restricted"]),
        ({"c__securityContext": {}}, ["restricted"]),
        ({"c__securityContext__runAsNonRoot": False}, ["restricted"]),
        ({"c__securityContext__runAsUser": 0}, ["restricted"]),
        ({"c__securityContext__allowPrivilegeEscalation": True}, ["restricted"]),
        ({"c__securityContext__capabilities": {"drop": ["ALL"], "add": ["CHOWN"]}}, ["restricted"]),
        ({"volumes": [{"name": "a", "nfs": {"server": "a", "path": "/"}}]}, ["restricted"]),
        ({"initContainers": [{"name": "i"}]}, ["restricted"]),
        ({"c__securityContext__capabilities__add": ["SYS_ADMIN"]}, ["baseline", "restricted"]),
        ({"c__securityContext__privileged": True}, ["baseline", "restricted"]),
        ({"c__securityContext__seccompProfile": {"type": "Unconfined"}}, ["baseline", "restricted"]),
        ({"c__ports": [{"hostPort": 80}]}, ["baseline", "restricted"]),
        ({"c__livenessProbe": {"httpGet": {"host": "a"}}}, ["baseline", "restricted"]),
        ({"volumes": [{"name": "a", "hostPath": {"path": "/"}}]}, ["baseline", "restricted"]),
        ({"hostNetwork": True}, ["baseline", "restricted"]),
        ({"securityContext__sysctls": [{"name": "kernel.msgmax"}]}, ["baseline", "restricted"]),
        ({"securityContext__seLinuxOptions": {"type": "spc_t"}}, ["baseline", "restricted"]),
    ],
    ids=str,
)
def test_rules_refuse_forbidden_fields(changes: dict[str, Any], levels: list[str]) -> None:
    pod = _changed(**changes)
    assert [level for level in ("baseline", "restricted") if violations(pod, level)] == levels
