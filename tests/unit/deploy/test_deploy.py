"""Manifests and Dockerfile: valid by Kubernetes' schema, without lint errors, and consistent with the code."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from pipeline.config.sections.kubeflow import Kubeflow
from pipeline.kubeflow.submission import Package

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / "deploy" / "kubeflow"
PARTS = {
    name: yaml.safe_load((FOLDER / name / "kustomization.yaml").read_text())
    for name in ("account", "metadata", "profile")
}
OVERLAYS = {"volume": {"metadata", "profile"}, "object-store": {"metadata", "account"}}
COMPONENTS = {"defaults", "openshift", "root-owned-volume", "tls", "workload-identity"}
FILES = sorted(path for name in PARTS for path in (FOLDER / name).glob("*.yaml") if path.name != "kustomization.yaml")
OBJECTS = [(path.name, manifest) for path in FILES for manifest in yaml.safe_load_all(path.read_text())]


def named(kind: str, name: str) -> dict[str, Any]:
    (found,) = (m for _, m in OBJECTS if (m["kind"], m["metadata"]["name"]) == (kind, name))
    return found


def pods() -> Iterator[tuple[str, dict[str, Any]]]:
    for _, manifest in OBJECTS:
        if "template" in manifest.get("spec", {}):
            yield manifest["metadata"]["name"], manifest["spec"]["template"]["spec"]


@pytest.mark.parametrize(("file", "manifest"), OBJECTS, ids=lambda value: value if isinstance(value, str) else "")
def test_every_object_matches_kubernetes_schema(file: str, manifest: dict[str, Any]) -> None:
    kubernetes_validate.validate(manifest, kubernetes_validate.latest_version(), strict=True)
    assert "namespace" not in manifest["metadata"], "kustomize sets it"


def test_kustomize_lists_exactly_every_file() -> None:
    named = [(name, resource) for name, part in PARTS.items() for resource in part["resources"]]
    assert sorted(FOLDER / name / file for name, file in named if file.endswith(".yaml")) == FILES
    assert {name for name in named if not name[1].endswith(".yaml")} == {("profile", "../account")}
    assert {path.parent.name for path in FOLDER.glob("*/kustomization.yaml")} == {*PARTS, *COMPONENTS}
    assert all(part.keys() == {"apiVersion", "kind", "resources"} for part in PARTS.values()), "for any namespace"
    kinds = {(m["kind"], m["metadata"]["name"]) for _, m in OBJECTS}
    assert len(kinds) == len(OBJECTS)


@pytest.mark.parametrize("name", OVERLAYS)
def test_overlay_has_what_its_root_needs(name: str) -> None:
    overlay = yaml.safe_load((FOLDER / "overlays" / name / "kustomization.yaml").read_text())
    assert overlay["resources"] == [f"../../{part}" for part in sorted(OVERLAYS[name], reverse=name != "volume")]
    assert overlay["components"] == ["../../defaults"]
    assert yaml.safe_load((FOLDER / "kustomization.yaml").read_text())["resources"] == ["overlays/volume"]


@pytest.mark.parametrize("name", OVERLAYS)
def test_kustomize_builds_overlay(name: str) -> None:
    if shutil.which("kubectl") is None:
        pytest.skip("there is no kubectl here, whose kustomize would build the overlay")
    folder = FOLDER / "overlays" / name
    done = subprocess.run(["kubectl", "kustomize", folder], capture_output=True, text=True, check=True)
    built = list(yaml.safe_load_all(done.stdout))
    assert {manifest["metadata"]["namespace"] for manifest in built} == {"kubeflow"}
    kinds = {manifest["kind"] for manifest in built}
    assert ("PersistentVolumeClaim" in kinds, "Job" in kinds) == (name == "volume",) * 2
    for manifest in built:
        kubernetes_validate.validate(manifest, kubernetes_validate.latest_version(), strict=True)


@pytest.mark.parametrize(("name", "pod"), list(pods()), ids=lambda value: value if isinstance(value, str) else "")
def test_every_container_is_confined_with_resources(name: str, pod: dict[str, Any]) -> None:
    assert pod["automountServiceAccountToken"] is False
    for container in pod["containers"]:
        assert container["securityContext"]["readOnlyRootFilesystem"] is True
        assert container["resources"]["requests"].keys() == {"cpu", "memory"}
        assert "memory" in container["resources"]["limits"]
        image = container["image"]
        assert image == "kindred" or re.fullmatch(r"[a-z]+:\d+(\.\d+)+", image), "kindred by kustomize, others pinned"
        assert not any("password" in str(variable.get("value", "")).lower() for variable in container.get("env", ()))


def test_every_reference_resolves() -> None:
    secrets = {"kindred-metadata-db"}  # created by hand, docs/kubeflow.md
    for _, pod in pods():
        claims = {
            v["persistentVolumeClaim"]["claimName"] for v in pod.get("volumes", []) if "persistentVolumeClaim" in v
        }
        assert all(named("PersistentVolumeClaim", claim) for claim in claims)
        for container in pod["containers"]:
            refs = {e["valueFrom"]["secretKeyRef"]["name"] for e in container.get("env", ()) if "valueFrom" in e}
            assert refs <= secrets
    for name in ("kindred-metadata", "kindred-metadata-db"):
        workload = named("Deployment" if name == "kindred-metadata" else "StatefulSet", name)
        assert named("Service", name)["spec"]["selector"] == workload["spec"]["selector"]["matchLabels"]
        assert (
            workload["spec"]["selector"]["matchLabels"].items()
            <= workload["spec"]["template"]["metadata"]["labels"].items()
        )
    binding = named("RoleBinding", "kindred-pipeline")
    assert named(binding["roleRef"]["kind"], binding["roleRef"]["name"])
    assert all(named(subject["kind"], subject["name"]) for subject in binding["subjects"])


def test_only_tasks_reach_the_metadata_service() -> None:
    policy = named("NetworkPolicy", "kindred-metadata")["spec"]
    assert policy["podSelector"]["matchLabels"] == named("Service", "kindred-metadata")["spec"]["selector"]
    (rule,) = policy["ingress"]
    here, elsewhere = rule["from"]
    assert here["podSelector"] == elsewhere["podSelector"]
    assert here["podSelector"]["matchExpressions"] == [{"key": "pipeline/runid", "operator": "Exists"}]
    assert rule["ports"] == [{"port": "grpc"}]


def test_role_may_change_only_task_results() -> None:
    for rule in named("Role", "kindred-pipeline")["rules"]:
        assert "*" not in [*rule["verbs"], *rule["resources"], *rule["apiGroups"]]
        if set(rule["verbs"]) != {"get"}:
            assert (rule["apiGroups"], rule["resources"]) == (["argoproj.io"], ["workflowtaskresults"])


def test_pipeline_file_defaults_match_deployment() -> None:
    kubeflow = Kubeflow()
    assert kubeflow.metadata.grpc is not None
    service = named("Service", kubeflow.metadata.grpc.host)
    assert service["spec"]["ports"][0]["port"] == kubeflow.metadata.grpc.port
    (volume,) = kubeflow.volumes
    assert named("PersistentVolumeClaim", volume.claim)["spec"]["accessModes"] == ["ReadWriteMany"]


def test_service_accepts_arguments_of_manifest() -> None:
    (container,) = named("Deployment", "kindred-metadata")["spec"]["template"]["spec"]["containers"]
    from pipeline.kubeflow.metadata_service import _parser

    told = _parser().parse_args(container["args"])
    assert (told.port, told.mysql_host, told.mysql_database) == (8080, "kindred-metadata-db", "kindred")
    assert named("Service", told.mysql_host)["spec"]["ports"][0]["port"] == told.mysql_port


def test_dockerfile_linter_reports_nothing() -> None:
    linter = Path(sys.executable).with_name("hadolint")
    done = subprocess.run([linter, ROOT / "deploy" / "Dockerfile"], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")


def test_docker_context_has_only_copied_files() -> None:
    dockerfile = (ROOT / "deploy" / "Dockerfile").read_text()
    copied = {
        word for line in re.findall(r"^COPY (?!--from)(.*) \S+$", dockerfile, re.MULTILINE) for word in line.split()
    }
    assert all((ROOT / name).exists() for name in copied)
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert allowed == {name for name in copied if name in allowed or name.partition("/")[0] not in allowed}


def test_images_run_as_the_numeric_user_of_the_manifests() -> None:
    uid = named("Deployment", "kindred-metadata")["spec"]["template"]["spec"]["securityContext"]["runAsUser"]
    assert dockerfile_lines("USER") == [f"USER {uid}"] * 2


def test_everything_that_a_build_installs_is_pinned_by_hash() -> None:
    (base,) = dockerfile_lines("ARG BASE")
    assert re.fullmatch(r"ARG BASE=docker\.io/library/python:[\w.-]+@sha256:[0-9a-f]{64}", base)
    stages = [line.split()[-1] for line in dockerfile_lines("FROM")]
    assert {line.split()[1] for line in dockerfile_lines("FROM")} <= {"${BASE}", *stages}
    from_hashes = ("--require-hashes", "install-packages.sh --offline /opt/kindred/wheel/", "pip uninstall ")
    installs = [line for line in dockerfile_lines("RUN") if "install" in line]
    assert len(installs) == 6 and all(any(way in line for way in from_hashes) for line in installs)
    script = (ROOT / "deploy" / "install-packages.sh").read_text()
    assert script.count("uv pip install --quiet --no-deps ") == script.count("pip install") == 1


@pytest.mark.parametrize("image", ["tasks", "serving"])
def test_packages_are_installed_before_and_apart_from_ours(image: str) -> None:
    """Otherwise a new version of Kindred would replace the layer of the packages."""
    stage = (
        (ROOT / "deploy" / "Dockerfile").read_text().partition(f"FROM runtime AS {image}\n")[2].partition("\nFROM")[0]
    )
    copied = re.findall("^COPY (.*)$", stage, re.MULTILINE)
    assert copied == [
        f"--from=lists /build/{image}.txt /opt/kindred/packages.txt",
        "--from=wheel /wheel /opt/kindred/wheel",
    ]
    assert stage.index("--requirement /opt/kindred/packages.txt") < stage.index(copied[1])


def dockerfile_lines(instruction: str) -> list[str]:
    text = (ROOT / "deploy" / "Dockerfile").read_text().replace("\\\n", "")
    return re.findall(rf"^{instruction}\b.*$", text, re.MULTILINE)


def test_version_name_is_valid_in_kubernetes() -> None:
    version = Package("a" * 63, "text", {}, {}).version
    assert re.fullmatch(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?", version) and len(version) < 100


def test_workers_on_dataflow_have_the_versions_of_the_tasks() -> None:
    workers = (ROOT / "deploy" / "dataflow" / "Dockerfile").read_text()
    found = re.search(r"beam_python([0-9.]+)_sdk:([0-9.]+)\n", workers)
    assert found
    assert f"/python:{found[1]}." in (ROOT / "deploy" / "Dockerfile").read_text()
    assert f'"apache-beam=={found[2]}"' in (ROOT / "pyproject.toml").read_text()
