"""The package: the graph of the local runner, containers only, the same bytes each time; what is refused, and why."""

from __future__ import annotations

import copy
import functools
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from kfp import components
from tfx.dsl.component.experimental.container_component import create_container_component
from tfx.orchestration.pipeline import Pipeline

from pipeline.config import PipelineConfig
from pipeline.errors import ConfigError
from pipeline.graph import compile_graph, create_pipeline
from pipeline.kubeflow import compiler, shape
from pipeline.kubeflow.compiler import MAX_ARGUMENT, compile_package
from pipeline.kubeflow.node import read_job, run
from pipeline.root import Root
from tests.e2e.kubeflow.interpreter import fill_in

pytestmark = pytest.mark.tensorflow

GOLDEN = Path(__file__).parents[3] / "golden" / "kubeflow" / "package.yaml"
TREE: dict[str, Any] = {
    "name": "films",
    "data": {"path": "/kindred/data/span-{SPAN}/*.csv"},
    "kubeflow": {
        "image": "registry.example/kindred:1",
        "secrets": [{"name": "cloud", "env": {"key": "CLOUD_KEY"}}, {"name": "ca", "mount": "/etc/ca"}],
        "config_maps": [{"name": "proxy", "env": {"url": "HTTPS_PROXY"}}, {"name": "files", "mount": "/etc/files"}],
        "image_pull_secret": "registry",
        "task": {"node_selector": {"pool": "batch"}, "memory": "2Gi"},
        "components": {
            "Trainer": {
                "cpu": "4", "memory": "16Gi", "memory_limit": "20Gi", "gpu": 1, "retries": 0,
                "tolerations": [{"key": "gpu", "operator": "Exists", "effect": "NoSchedule"}],
            }
        },
    },
}  # fmt: skip


def tree(**changes: Any) -> dict[str, Any]:
    changed = copy.deepcopy(TREE)
    for key, value in changes.items():
        changed["kubeflow"][key] = value
    return changed


def config(**changes: Any) -> PipelineConfig:
    return PipelineConfig.model_validate(tree(**changes))


@pytest.fixture(scope="module")
def package() -> str:
    return compile_package(config())


@pytest.fixture(scope="module")
def spec(package: str) -> dict[str, Any]:
    return parsed(package)[0]


@functools.cache
def parsed(package: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(package))


def container(spec: dict[str, Any], task: str) -> dict[str, Any]:
    return spec["deploymentSpec"]["executors"][f"exec-{task}"]["container"]


def platform(package: str, task: str) -> dict[str, Any]:
    _, found = parsed(package)
    return found["platforms"]["kubernetes"]["deploymentSpec"]["executors"][f"exec-{task}"]


def test_the_package_is_the_golden_one_byte_for_byte(package: str) -> None:
    if os.environ.get("KINDRED_UPDATE_GOLDEN"):
        GOLDEN.write_text(package, encoding="utf-8")
    assert package == GOLDEN.read_text(encoding="utf-8"), (
        f"the package has changed; if that is meant: KINDRED_UPDATE_GOLDEN=1 python -m pytest {Path(__file__).name}"
    )


def test_the_kfp_sdk_loads_it(package: str) -> None:
    assert components.load_component_from_text(package).name == "films"


def test_nodes_and_edges_are_those_of_the_local_runner(spec: dict[str, Any], tmp_path: Path) -> None:
    graph = compile_graph(create_pipeline(config(), Root(tmp_path)), "r")
    local = {e.pipeline_node.node_info.id: set(e.pipeline_node.upstream_nodes) for e in graph.nodes}
    tasks = spec["root"]["dag"]["tasks"]
    names = {key: task["taskInfo"]["name"] for key, task in tasks.items()}
    assert {
        names[key]: {names[other] for other in task.get("dependentTasks", [])} for key, task in tasks.items()
    } == local


def test_there_are_only_containers_and_every_argument_is_short(spec: dict[str, Any]) -> None:
    assert spec["schemaVersion"] == "2.1.0"
    for executor in spec["deploymentSpec"]["executors"].values():
        assert executor.keys() == {"container"}
        assert executor["container"]["image"] == "registry.example/kindred:1"
        assert all(len(word.encode()) <= MAX_ARGUMENT for word in executor["container"]["args"])
    assert all(task["cachingOptions"] == {} for task in spec["root"]["dag"]["tasks"].values()), "TFX has its own cache"


def test_no_two_tasks_share_a_container(spec: dict[str, Any]) -> None:
    labels = [component["executorLabel"] for component in spec["components"].values()]
    assert len(set(labels)) == len(labels) == len(spec["root"]["dag"]["tasks"])


def test_what_a_task_reads_back_is_the_configuration_that_was_compiled(spec: dict[str, Any], tmp_path: Path) -> None:
    defaults = spec["root"]["inputDefinitions"]["parameters"]
    inputs = {name: definition["defaultValue"] for name, definition in defaults.items()}
    words = [fill_in(word, "run-7", inputs, {"summary": tmp_path / "s"}) for word in container(spec, "trainer")["args"]]
    job = read_job(words)
    assert (job.node_id, job.run_id, job.root.path) == ("Trainer", "run-7", Path("/kindred/films"))
    assert job.accept_reason is None
    expected = config().model_copy(update={"kubeflow": job.config.kubeflow})
    assert job.config == expected


def test_a_task_takes_the_parameters_of_its_run(spec: dict[str, Any], tmp_path: Path) -> None:
    defaults = spec["root"]["inputDefinitions"]["parameters"]
    inputs = {name: definition["defaultValue"] for name, definition in defaults.items()}
    inputs |= {
        "train_learning_rate": 1e-7, "train_epochs": 3.0, "model_bias": False, "span": "12", "pipeline_root": "/other",
        "data_path": "/kindred/new/{SPAN:3}/*", "accept_anomalies": "moved", "train_optimizer": "sgd",
    }  # fmt: skip
    places = {"summary": tmp_path / "s", "report": tmp_path / "r.html"}
    words = [fill_in(word, "r", inputs, places) for word in container(spec, "pusher")["args"]]
    job = read_job(words)
    assert (job.config.train.learning_rate, job.config.train.epochs, job.config.model.bias) == (1e-7, 3, False)
    assert (job.config.train.optimizer, job.config.data.path) == ("sgd", "/kindred/new/012/*")
    assert (job.root.path, job.accept_reason) == (Path("/other"), "moved")
    assert (job.summary, job.report) == (places["summary"], places["report"])


def test_every_task_shows_a_summary_and_the_last_one_the_report(spec: dict[str, Any]) -> None:
    outputs = {name: c["outputDefinitions"]["artifacts"] for name, c in spec["components"].items()}
    kinds = {name: {key: kind["artifactType"]["schemaTitle"] for key, kind in o.items()} for name, o in outputs.items()}
    last = {"summary": "system.Markdown", "report": "system.HTML"}
    assert kinds.pop("comp-pusher") == last
    assert set(map(str, kinds.values())) == {str({"summary": "system.Markdown"})}


def test_an_image_of_another_version_is_refused_before_anything_runs(spec: dict[str, Any], tmp_path: Path) -> None:
    inputs = {name: d["defaultValue"] for name, d in spec["root"]["inputDefinitions"]["parameters"].items()}
    places = {"summary": tmp_path / "s", "report": tmp_path / "r.html"}
    words = [fill_in(word, "r", inputs, places) for word in container(spec, "pusher")["args"]]
    words[words.index("--graph") + 1] = "another"
    with pytest.raises(ConfigError, match="the graph of this image is not the graph of the package"):
        run(read_job(words))
    assert not (tmp_path / "s").exists()


def test_a_component_gets_what_is_set_for_it_and_the_rest_from_all(package: str, spec: dict[str, Any]) -> None:
    trainer, other = container(spec, "trainer")["resources"], container(spec, "datagate")["resources"]
    assert (trainer["resourceCpuRequest"], trainer["resourceMemoryRequest"]) == ("4", "16Gi")
    assert trainer["resourceMemoryLimit"] == "20Gi"
    assert trainer["accelerator"]["resourceType"] == "nvidia.com/gpu"
    assert trainer["accelerator"]["resourceCount"] == "1"
    assert (other["resourceCpuRequest"], other["resourceMemoryRequest"]) == ("1", "2Gi")
    assert "accelerator" not in other
    tasks = spec["root"]["dag"]["tasks"]
    assert "retryPolicy" not in tasks["trainer"]
    assert tasks["datagate"]["retryPolicy"]["maxRetryCount"] == 2
    (toleration,) = platform(package, "trainer")["tolerations"]
    assert toleration == {"key": "gpu", "operator": "Exists", "effect": "NoSchedule"}
    assert platform(package, "trainer")["nodeSelector"] == {"labels": {"pool": "batch"}}


def test_every_task_has_volumes_secrets_and_config_maps(package: str, spec: dict[str, Any]) -> None:
    for task in spec["root"]["dag"]["tasks"]:
        given = platform(package, task)
        assert [(mount["constant"], mount["mountPath"]) for mount in given["pvcMount"]] == [("kindred", "/kindred")]
        assert given["imagePullPolicy"] == "IfNotPresent"
        assert given["imagePullSecret"][0]["secretName"] == "registry"
        assert given["secretAsEnv"][0]["keyToEnv"] == [{"secretKey": "key", "envVar": "CLOUD_KEY"}]
        assert given["secretAsVolume"][0]["mountPath"] == "/etc/ca"
        assert given["configMapAsEnv"][0]["keyToEnv"] == [{"configMapKey": "url", "envVar": "HTTPS_PROXY"}]
        assert given["configMapAsVolume"][0]["mountPath"] == "/etc/files"


def test_a_password_comes_from_a_secret_and_is_in_no_argument() -> None:
    mysql = {"host": "db", "secret": "kindred-metadata-db"}
    package = compile_package(config(metadata={"mysql": mysql}, secrets=[]))
    (secret,) = platform(package, "pusher")["secretAsEnv"]
    assert secret["secretName"] == "kindred-metadata-db"
    assert secret["keyToEnv"] == [{"secretKey": "password", "envVar": "KINDRED_METADATA_PASSWORD"}]


def test_the_same_file_gives_the_same_bytes_in_another_process(package: str, tmp_path: Path) -> None:
    (tmp_path / "pipeline.yaml").write_text(yaml.safe_dump(TREE))
    command = [str(Path(sys.executable).with_name("kindred")), "compile", "--config", str(tmp_path / "pipeline.yaml")]
    environment = {**os.environ, "PYTHONHASHSEED": "7"}
    out = tmp_path / "package.yaml"
    done = subprocess.run([*command, "--output", str(out)], check=True, env=environment, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("", f"{out}: compiled for kubeflow\n")
    assert out.read_text() == package
    assert sorted(path.name for path in tmp_path.iterdir()) == ["package.yaml", "pipeline.yaml"]


def test_a_schema_of_ones_own_goes_along_and_braces_are_no_placeholders(tmp_path: Path) -> None:
    text = 'feature { name: "left_id" annotation { tag: "{{$.x}}" } }\n'
    (tmp_path / "own.pbtxt").write_text(text)
    changed = tree() | {"schema": str(tmp_path / "own.pbtxt")}
    changed["data"] = {"path": "/kindred/{{x}}.csv"}
    compiled = next(yaml.safe_load_all(compile_package(PipelineConfig.model_validate(changed))))
    words = container(compiled, "trainer")["args"]
    constants = [word for word in words if not word.startswith("{{$.")]
    assert not any("{{" in word for word in constants)
    assert json.loads(words[words.index("--config") + 1])["data"]["path"] == "/kindred/{{x}}.csv"
    assert json.loads(words[words.index("--schema") + 1]) == text


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"root": "/elsewhere/films"}, "kubeflow.root: must lie on one of kubeflow.volumes"),
        ({"volumes": []}, "kubeflow.volumes: there is none"),
        ({"volumes": [{"claim": "c", "mount": "/other"}]}, "data.path: /kindred/data/span-{SPAN}/*.csv is not where"),
        ({"metadata": {"sqlite": "/var/m.sqlite"}}, "kubeflow.metadata.sqlite: must lie on one of kubeflow.volumes"),
        ({"components": {"Trainer2": {}}}, "kubeflow.components.Trainer2: no such component; there is ImportSchemaGen"),
        ({"parameters": ["training"]}, "kubeflow.parameters: no such key of the pipeline file (got 'training')"),
        ({"parameters": ["kubeflow.image"]}, "decides how the package is made"),
        ({"parameters": ["train", "train.epochs"]}, "train_epochs stands there twice"),
    ],
    ids=str,
)
def test_what_the_cluster_would_refuse_is_refused_now(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError) as refused:
        compile_package(config(**changes))
    assert words in str(refused.value)


def test_dataflow_would_not_see_the_volume() -> None:
    job = {
        "project": "kind-red-1",
        "region": "europe-west4",
        "temp_location": "gs://bucket/temp",
        "image": "r/kindred:1",
    }
    settings = PipelineConfig.model_validate(tree() | {"beam": {"profile": "dataflow", "dataflow": job}})
    with pytest.raises(ConfigError, match=r"not possible yet: .* a root is a folder \(/kindred/"):
        compile_package(settings)


def test_a_component_that_is_no_process_of_the_image_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    stranger = create_container_component(name="Stranger", image="stranger:1", command=["run"])

    def create(*_: Any) -> Pipeline:
        return Pipeline("films", "/kindred/films", components=[stranger().with_id("Stranger")])

    monkeypatch.setattr(shape, "create_pipeline", create)
    with pytest.raises(ConfigError, match="Stranger: its executor is a ContainerExecutableSpec"):
        compile_package(config(components={}))


def test_an_argument_that_is_too_long_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiler, "MAX_ARGUMENT", 200)
    with pytest.raises(ConfigError, match=r"--config: 1,\d+ bytes, and an argument of a task has at most 200"):
        compile_package(config())
