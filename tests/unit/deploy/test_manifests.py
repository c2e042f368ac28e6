"""The manifests of deploy/: valid by Kubernetes' schemas, and confined."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from serving.model_server.flags import ADDED, SERVED
from serving.model_server.metrics import ServerMetrics
from storage.cache import CACHE
from storage.urls import is_object
from tests.unit.deploy.pod_security import violations
from tests.unit.deploy.test_pod_security import changed

DEPLOY = Path(__file__).resolve().parents[3] / "deploy"
KUBERNETES = ("1.29", "1.33")
# Fields of KServe's ComponentExtensionSpec (pkg/apis/serving/v1beta1/component.go), not of a pod.
KSERVE_SCALING = (
    "minReplicas", "maxReplicas", "scaleMetric", "scaleTarget", "deploymentStrategy", "autoScaling", "annotations",
)  # fmt: skip


def _documents(name: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((DEPLOY / name).read_text(encoding="utf-8")))


MANIFESTS = {document["kind"]: document for document in _documents("kubernetes/serving.yaml")}
POD = MANIFESTS["Deployment"]["spec"]["template"]
(CONTAINER,) = POD["spec"]["containers"]
(COMPOSED,) = _documents("compose.yaml")[0]["services"].values()
KSERVE, KSERVE_BUDGET = _documents("kserve/inference-service.yaml")
FROM_STORE, STORE_CONFIG, STORE_BUDGET = _documents("kserve/object-store.yaml")
(STORE_CONTAINER,) = FROM_STORE["spec"]["predictor"]["containers"]
# How each server is updated, its pod and container, its autoscaler and its budget.
UPDATES: dict[str, tuple[Any, ...]] = {
    "kubernetes": (
        MANIFESTS["Deployment"]["spec"]["strategy"],
        POD["spec"],
        CONTAINER,
        MANIFESTS["HorizontalPodAutoscaler"]["spec"],
        MANIFESTS["PodDisruptionBudget"],
    ),
    **{
        name: (predictor["deploymentStrategy"], predictor, container, predictor, budget)
        for name, predictor, container, budget in (
            ("kserve", KSERVE["spec"]["predictor"], KSERVE["spec"]["predictor"]["model"], KSERVE_BUDGET),
            ("kserve of a store", FROM_STORE["spec"]["predictor"], STORE_CONTAINER, STORE_BUDGET),
        )
    },
}


@pytest.mark.parametrize("version", KUBERNETES)
@pytest.mark.parametrize("kind", MANIFESTS)
def test_manifest_matches_kubernetes_schema(kind: str, version: str) -> None:
    kubernetes_validate.validate(MANIFESTS[kind], version, strict=True)


def test_schema_detects_mistakes() -> None:
    slipped = yaml.safe_load(yaml.safe_dump(MANIFESTS["Deployment"]))
    slipped["spec"]["template"]["spec"]["containers"][0]["readinesProbe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError, match="readinesProbe"):
        kubernetes_validate.validate(slipped, KUBERNETES[-1], strict=True)


def test_kserve_pod_is_valid() -> None:
    """Without KServe's own fields, a predictor is a pod and its model a container."""
    own = {"modelFormat", "runtimeVersion", "protocolVersion", "storageUri"}
    predictor = dict(KSERVE["spec"]["predictor"])
    model = {key: value for key, value in predictor.pop("model").items() if key not in own}
    spec = {key: value for key, value in predictor.items() if key not in KSERVE_SCALING}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": KSERVE["metadata"]}
    pod["spec"] = {**spec, "containers": [{"name": "kserve-container", **model}]}
    kubernetes_validate.validate(pod, KUBERNETES[-1], strict=True)
    assert KSERVE["apiVersion"] == "serving.kserve.io/v1beta1"
    assert set(predictor) <= {*KSERVE_SCALING, "securityContext", "terminationGracePeriodSeconds"}
    kubernetes_validate.validate(KSERVE_BUDGET, KUBERNETES[-1], strict=True)


@pytest.mark.parametrize("server", UPDATES)
def test_update_and_eviction_leave_a_server_that_answers(server: str) -> None:
    """A pod goes only when another is ready, and stops listening only when it has left the endpoints."""
    strategy, pod, container, scaler, budget = UPDATES[server]
    assert strategy["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}
    (command, seconds) = container["lifecycle"]["preStop"]["exec"]["command"]
    assert command == "sleep" and 5 <= int(seconds) < pod["terminationGracePeriodSeconds"]
    assert budget["spec"]["minAvailable"] < scaler["minReplicas"], "otherwise no node can be drained"


def test_autoscaler_owns_the_number_of_replicas() -> None:
    scaler, deployment = MANIFESTS["HorizontalPodAutoscaler"]["spec"], MANIFESTS["Deployment"]
    target = scaler["scaleTargetRef"]
    assert (target["kind"], target["name"]) == (deployment["kind"], deployment["metadata"]["name"])
    assert "replicas" not in deployment["spec"], "each apply would reset what the autoscaler chose"
    # The utilization is relative to the request.
    assert "cpu" in CONTAINER["resources"]["requests"]


@pytest.fixture(scope="module")
def from_store() -> dict[str, dict[str, Any]]:
    """The objects of deploy/kubernetes with component `object-store`, by kind."""
    return {manifest["kind"]: manifest for manifest in changed(DEPLOY / "kubernetes", "object-store")}


def _kserve_pod() -> dict[str, Any]:
    """The pod of deploy/kserve/object-store.yaml: its predictor without KServe's own fields."""
    return {key: value for key, value in FROM_STORE["spec"]["predictor"].items() if key not in KSERVE_SCALING}


@pytest.mark.parametrize("kind", ["Deployment", "InferenceService"])
def test_server_of_an_object_store_needs_no_volume(kind: str, from_store: dict[str, dict[str, Any]]) -> None:
    for manifest in from_store.values():
        kubernetes_validate.validate(manifest, KUBERNETES[-1], strict=True)
    pod = from_store["Deployment"]["spec"]["template"]["spec"] if kind == "Deployment" else _kserve_pod()
    manifest = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "word-pairs"}, "spec": pod}
    kubernetes_validate.validate(manifest, KUBERNETES[-1], strict=True)
    assert violations(pod) == []
    (container,) = pod["containers"]
    assert container["image"].startswith("kindred-serving")
    flags = dict(flag.removeprefix("--").split("=", 1) for flag in container["args"])
    assert flags.keys() <= {flag.name for flag in (*SERVED, *ADDED)}
    assert is_object(flags["model_base_path"])
    assert f"/{flags['model_name']}/" in container["readinessProbe"]["httpGet"]["path"]
    assert not [volume for volume in pod["volumes"] if "persistentVolumeClaim" in volume]
    assert {mount["name"] for mount in container["volumeMounts"]} == {volume["name"] for volume in pod["volumes"]}
    (cache,) = (variable["value"] for variable in container["env"] if variable["name"] == CACHE)
    assert cache in {mount["mountPath"] for mount in container["volumeMounts"]}
    # Kubernetes stops waiting after the grace period, which begins with the pause before SIGTERM.
    pause = int(container["lifecycle"]["preStop"]["exec"]["command"][-1])
    assert pause + int(flags["drain_seconds"]) < pod["terminationGracePeriodSeconds"]


def test_store_is_reached_through_the_network_policy(from_store: dict[str, dict[str, Any]]) -> None:
    assert from_store["NetworkPolicy"]["spec"]["egress"]


def test_kserve_follows_the_versions_of_a_store() -> None:
    predictor = FROM_STORE["spec"]["predictor"]
    kubernetes_validate.validate(STORE_CONFIG, KUBERNETES[-1], strict=True)
    kubernetes_validate.validate(STORE_BUDGET, KUBERNETES[-1], strict=True)
    assert "model" not in predictor, "KServe would copy the versions once, and never again"
    assert predictor["annotations"] == POD["metadata"]["annotations"]
    assert STORE_CONFIG["data"] == MANIFESTS["ConfigMap"]["data"]
    assert {STORE_CONFIG["metadata"]["name"]} == {
        volume["configMap"]["name"] for volume in predictor["volumes"] if "configMap" in volume
    }
    (port,) = (port["containerPort"] for port in STORE_CONTAINER["ports"])
    for probe in ("startupProbe", "readinessProbe"):
        assert STORE_CONTAINER[probe]["httpGet"] == {**CONTAINER[probe]["httpGet"], "port": port}


def test_autoscaling_by_request_rate_reads_a_metric_that_servers_have() -> None:
    """KServe gives the query to KEDA. On Kubernetes, the Prometheus adapter computes the same rate of a pod."""
    (scaler,) = (m for m in changed(DEPLOY / "kubernetes", "request-rate") if m["kind"] == "HorizontalPodAutoscaler")
    kubernetes_validate.validate(scaler, KUBERNETES[-1], strict=True)
    assert [metric["type"] for metric in scaler["spec"]["metrics"]] == ["Resource", "Pods"]
    (metric,) = FROM_STORE["spec"]["predictor"]["autoScaling"]["metrics"]
    query = metric["external"]["metric"]["query"]
    counter, model = ServerMetrics().requests.name, FROM_STORE["metadata"]["name"]
    assert query == f'sum(rate({counter}{{model_name="{model}"}}[1m]))'
    page = (DEPLOY / "kubernetes" / "request-rate" / "kustomization.yaml").read_text()
    assert f"'{counter}{{" in page
    assert f"name: {{as: {scaler['spec']['metrics'][1]['pods']['metric']['name']}}}" in page
    assert f"--model_name={model}" in STORE_CONTAINER["args"]


def _image_version() -> str:
    return str(CONTAINER["image"]).split(":")[1]


def test_images_have_one_explicit_version() -> None:
    assert re.fullmatch(r"tensorflow/serving:\d+\.\d+\.\d+", CONTAINER["image"])
    assert COMPOSED["image"] == CONTAINER["image"]
    assert str(KSERVE["spec"]["predictor"]["model"]["runtimeVersion"]) == _image_version()


@pytest.mark.parametrize("probe", ["startupProbe", "readinessProbe"])
def test_readiness_requires_served_version(probe: str) -> None:
    (name,) = {flag.split("=")[1] for flag in CONTAINER["args"] if flag.startswith("--model_name=")}
    path = f"/v1/models/{name}/metadata"
    assert CONTAINER[probe]["httpGet"]["path"] == path
    if probe == "readinessProbe":
        assert KSERVE["spec"]["predictor"]["model"][probe]["httpGet"]["path"] == path
    assert "/metadata HTTP/1.0" in COMPOSED["healthcheck"]["test"][-1]


def test_server_runs_unprivileged_and_read_only() -> None:
    for container in (CONTAINER, KSERVE["spec"]["predictor"]["model"]):
        assert container["securityContext"]["readOnlyRootFilesystem"]
        assert set(container["resources"]["limits"]) == set(container["resources"]["requests"]) == {"cpu", "memory"}
    assert all(mount.get("readOnly") for mount in CONTAINER["volumeMounts"] if mount["name"] != "tmp")
    assert COMPOSED["read_only"] and COMPOSED["cap_drop"] == ["ALL"] and int(COMPOSED["user"].split(":")[0]) > 0
    assert COMPOSED["mem_limit"] and COMPOSED["cpus"]


def test_compose_listens_on_loopback_and_reads_only() -> None:
    assert all(port.startswith("127.0.0.1:") for port in COMPOSED["ports"])
    assert all(volume.endswith(":ro") for volume in COMPOSED["volumes"])
    for volume in COMPOSED["volumes"]:
        source = volume.split(":")[0]
        assert source.startswith("${") or (DEPLOY / source).is_file()


def test_network_policy_allows_only_clients() -> None:
    policy = MANIFESTS["NetworkPolicy"]["spec"]
    labels = POD["metadata"]["labels"]
    assert policy["podSelector"]["matchLabels"] == labels == MANIFESTS["Service"]["spec"]["selector"]
    assert set(policy["policyTypes"]) == {"Ingress", "Egress"} and policy["egress"] == []
    (rule,) = policy["ingress"]
    assert {port["port"] for port in rule["ports"]} == {port["name"] for port in CONTAINER["ports"]}


def test_our_server_knows_every_flag() -> None:
    known = {flag.name for flag in SERVED}
    for flag in (*CONTAINER["args"], *COMPOSED["command"]):
        assert flag.removeprefix("--").split("=")[0] in known


def test_monitoring_file_is_identical() -> None:
    text = (DEPLOY / "monitoring.config").read_text(encoding="utf-8")
    assert MANIFESTS["ConfigMap"]["data"]["monitoring.config"] == text
    assert POD["metadata"]["annotations"]["prometheus.io/path"] in text
