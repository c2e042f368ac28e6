"""deploy/flink: valid by Kubernetes' schema, and consistent with the profile `flink`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from bootstrap.flink import cluster
from bootstrap.flink.packages import REQUIREMENTS
from pipeline.beam.profiles import options
from pipeline.config.sections.beam import Beam
from pipeline.config.sections.kubeflow import Kubeflow

FILE = Path(__file__).resolve().parents[3] / "deploy" / "flink" / "cluster.yaml"
FLINK, JOBS, SERVICE = yaml.safe_load_all(FILE.read_text(encoding="utf-8"))
TEMPLATE = FLINK["spec"]["taskManager"]["podTemplate"]
MAIN, WORKERS = TEMPLATE["spec"]["containers"]
SERVER = JOBS["spec"]["template"]["spec"]["containers"][0]
# The fields of FlinkDeployment's specification, from the operator's reference of custom resources.
OF_CLUSTER = {
    "flinkVersion", "flinkConfiguration", "image", "imagePullPolicy", "ingress", "job", "jobManager",
    "logConfiguration", "mode", "podTemplate", "restartNonce", "serviceAccount", "taskManager",
}  # fmt: skip


@pytest.mark.parametrize("document", [JOBS, SERVICE], ids=lambda document: document["kind"])
@pytest.mark.parametrize("version", ["1.29", "1.33"])
def test_kubernetes_objects_are_valid(document: dict[str, Any], version: str) -> None:
    kubernetes_validate.validate(document, version, strict=True)


@pytest.mark.parametrize("part", ["jobManager", "taskManager"])
def test_completed_manager_pod_is_valid(part: str) -> None:
    pod = yaml.safe_load(yaml.safe_dump(FLINK["spec"][part]["podTemplate"]))
    assert pod["spec"]["containers"][0]["name"] == "flink-main-container", "the name by which the operator knows it"
    pod["spec"]["containers"][0]["image"] = FLINK["spec"]["image"]
    kubernetes_validate.validate(pod, "1.33", strict=True)


def test_cluster_matches_operator_schema() -> None:
    assert (FLINK["apiVersion"], FLINK["kind"]) == ("flink.apache.org/v1beta1", "FlinkDeployment")
    assert set(FLINK["spec"]) <= OF_CLUSTER and "job" not in FLINK["spec"], "a session cluster: jobs come from Beam"
    for part in ("jobManager", "taskManager"):
        assert set(FLINK["spec"][part]) <= {"resource", "replicas", "podTemplate"}
    assert all(isinstance(value, str) for value in FLINK["spec"]["flinkConfiguration"].values())


def test_versions_are_tested() -> None:
    flink = FLINK["spec"]["image"].partition(":")[2]
    assert f"=={flink} " in REQUIREMENTS.read_text(encoding="utf-8")
    minor = ".".join(flink.split(".")[:2])
    assert minor == Beam().flink_version and FLINK["spec"]["flinkVersion"] == f"v{minor.replace('.', '_')}"
    assert SERVER["image"].startswith(f"apache/beam_flink{minor}_job_server:")


def test_job_settings_match_tested_cluster() -> None:
    tested = yaml.safe_load(cluster._SETTINGS.format(rest=1, rpc=2, slots=2, tmp="x"))
    for key, value in FLINK["spec"]["flinkConfiguration"].items():
        assert str(tested[key]) == value, key


def test_workers_share_pod_and_volumes_of_task_manager() -> None:
    assert WORKERS["command"] == ["python", "-m", "pipeline.beam.pool", "--port=50000"]
    assert Beam(profile="flink").workers_at == "localhost:50000"
    (volume,) = Kubeflow().volumes
    assert WORKERS["volumeMounts"] == [{"name": "kindred", "mountPath": volume.mount}]
    assert TEMPLATE["spec"]["volumes"][0]["persistentVolumeClaim"]["claimName"] == volume.claim
    assert WORKERS["image"] == Kubeflow().image


def test_guide_section_reaches_services() -> None:
    guide = (FILE.parents[2] / "docs" / "beam.md").read_text(encoding="utf-8")
    section = yaml.safe_load(guide.split("<!-- kubernetes -->\n```yaml\n")[1].split("```")[0])["beam"]
    found = options(Beam.model_validate(section))
    ports = {port["name"]: port["port"] for port in SERVICE["spec"]["ports"]}
    name = SERVICE["metadata"]["name"]
    assert f"--job_endpoint={name}:{ports['jobs']}" in found
    assert f"--artifact_endpoint={name}:{ports['artifacts']}" in found
    # The operator names the service of Flink's REST interface after the cluster.
    rest = f"{FLINK['metadata']['name']}-rest:8081"
    assert f"--flink-master={rest}" in SERVER["args"] and f"--kindred_flink_url=http://{rest}" in found
    slots = FLINK["spec"]["taskManager"]["replicas"] * int(
        FLINK["spec"]["flinkConfiguration"]["taskmanager.numberOfTaskSlots"]
    )
    assert section["parallelism"] == slots
