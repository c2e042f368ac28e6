"""Each setting of a task reaches its pod, and nothing that Kubernetes would refuse is compiled."""

from __future__ import annotations

from typing import Any

import kubernetes_validate
import pydantic
import pytest

from errors import ConfigError
from pipeline.config.sections.kubeflow import TaskResources
from pipeline.kubeflow.compiler import compile_package
from tests.e2e.kubeflow.checks import read_package
from tests.unit.pipeline.kubeflow import films

pytestmark = pytest.mark.tensorflow

_KEY = {"key": "zone", "operator": "In", "values": ["a", "b"]}
_AFFINITY = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [{"matchExpressions": [_KEY]}]}}
_SETTINGS: dict[str, Any] = {
    "env": {"HTTPS_PROXY": "http://proxy.example:3128"},
    "labels": {"team": "films", "example.com/cost-center": "7"},
    "annotations": {"sidecar.istio.io/inject": "false"},
    "node_affinity": _AFFINITY,
    "shared_memory": "1Gi",
    "scratch": "20Gi",
    "timeout_seconds": 7200,
}


@pytest.fixture(scope="module")
def package() -> films.Package:
    text = compile_package(films.config(components={"Trainer": _SETTINGS}))
    read_package(text, "2.16")
    return films.Package(text)


def _task(package: films.Package, name: str) -> films.Task:
    return next(task for task in package.tasks if task.name == name)


def test_every_setting_reaches_its_task(package: films.Package) -> None:
    trainer = _task(package, "Trainer")
    assert {"name": "HTTPS_PROXY", "value": "http://proxy.example:3128"} in trainer.container["env"]
    platform = trainer.platform
    assert platform["podMetadata"] == {"labels": _SETTINGS["labels"], "annotations": _SETTINGS["annotations"]}
    assert int(platform["activeDeadlineSeconds"]) == 7200
    assert [(m["mountPath"], m["sizeLimit"], m.get("medium")) for m in platform["emptyDirMounts"]] == [
        ("/dev/shm", "1Gi", "Memory"),
        ("/tmp", "20Gi", None),
    ]
    (term,) = platform["nodeAffinity"]
    assert term["nodeAffinityJson"]["runtimeValue"]["constant"] == _AFFINITY


def test_pod_with_the_settings_is_valid(package: films.Package) -> None:
    platform = _task(package, "Trainer").platform
    volumes = [{"name": m["volumeName"], "emptyDir": {"sizeLimit": m["sizeLimit"]}} for m in platform["emptyDirMounts"]]
    (term,) = platform["nodeAffinity"]
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "trainer", **platform["podMetadata"]},
        "spec": {
            "containers": [{"name": "main", "image": "kindred:1"}],
            "volumes": volumes,
            "activeDeadlineSeconds": int(platform["activeDeadlineSeconds"]),
            "affinity": {"nodeAffinity": term["nodeAffinityJson"]["runtimeValue"]["constant"]},
        },
    }
    kubernetes_validate.validate(pod, "1.33", strict=True)


def test_other_tasks_have_none_of_the_settings(package: films.Package) -> None:
    for task in package.tasks:
        if task.name != "Trainer":
            keys = {"podMetadata", "activeDeadlineSeconds", "emptyDirMounts", "nodeAffinity"}
            assert not keys & task.platform.keys(), task.name


_LIGHT = ("ImportSchemaGen", "ExampleValidator", "LastAcceptedData", "DataGate", "LatestBlessedModel", "ModelCard")


def _requests(name: str, /, **changes: Any) -> tuple[str, str]:
    resources = _task(films.Package(compile_package(films.config(**changes))), name).container["resources"]
    return resources["resourceCpuRequest"], resources["resourceMemoryRequest"]


def test_tasks_without_data_reserve_little() -> None:
    text = compile_package(films.config(task={}, group="none"))
    package = films.Package(text)
    found = {
        task.name: (
            task.container["resources"]["resourceCpuRequest"], task.container["resources"]["resourceMemoryRequest"],
        )
        for task in package.tasks
    }  # fmt: skip
    assert found.pop("Refused") == ("100m", "256Mi")
    assert found.pop("Trainer") == ("4", "16Gi")
    assert {found.pop(name) for name in ("RunReport", *_LIGHT)} == {("250m", "2Gi")}
    assert set(found.values()) == {("1", "4Gi")}


def test_task_that_also_reads_data_reserves_for_it() -> None:
    """It begins with LatestBlessedModel."""
    assert _requests("EvaluateAndPush", task={}) == ("1", "4Gi")


def test_settings_of_the_file_win_over_light_needs() -> None:
    assert _requests("RunReport", task={"memory": "9Gi"}) == ("250m", "9Gi")
    assert _requests("DataGate", task={"cpu": "3"}, group="none") == ("3", "2Gi")
    assert _requests("Refused", task={"memory": "9Gi", "retries": 7}) == ("100m", "9Gi")
    assert _requests("RunReport", task={"memory": "9Gi"}, components={"RunReport": {"memory": "3Gi"}}) == (
        "250m",
        "3Gi",
    )


def test_affinity_that_kubernetes_does_not_know_is_refused() -> None:
    wrong = films.config(components={"Trainer": {"node_affinity": {"required": []}}})
    with pytest.raises(ConfigError, match=r"kubeflow\.components\.Trainer\.node_affinity"):
        compile_package(wrong)


@pytest.mark.parametrize(
    "setting",
    [
        {"labels": {"a b": "c"}},
        {"labels": {"team": "a b"}},
        {"labels": {"team": "x" * 64}},
        {"labels": {"Example.com/team": "a"}},
        {"env": {"1A": "b"}},
        {"env": {"A": "$(HOME)"}},
        {"env": {"A": "{{inputs}}"}},
        {"annotations": {"a": "$$"}},
        {"shared_memory": "lots"},
        {"timeout_seconds": 0},
    ],
)
def test_value_that_a_pod_cannot_have_is_refused(setting: dict[str, Any]) -> None:
    with pytest.raises(pydantic.ValidationError):
        TaskResources.model_validate(setting)
