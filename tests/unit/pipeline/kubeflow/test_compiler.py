"""The compiled package: its graph, containers and bytes, and the settings that are refused."""

from __future__ import annotations

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

from errors import ConfigError
from kindred import advice
from pipeline.config import PipelineConfig
from pipeline.config.sections.publish import Publish
from pipeline.kubeflow import arguments, compiler, shape
from pipeline.kubeflow.compiler import MAX_ARGUMENT, compile_package
from pipeline.kubeflow.grouping import group_nodes
from pipeline.records.root import Root
from pipeline.running.graph import compile_graph, create_pipeline
from tests.unit.pipeline.kubeflow.films import RUN_ID, TREE, Package, config, tree

pytestmark = pytest.mark.tensorflow

GOLDEN = Path(__file__).parents[3] / "golden" / "kubeflow" / "package.yaml"
OUTPUTS = {"summary": "/tmp/s", "verdict": "/tmp/v", "report": "/tmp/r.html", "record": "/tmp/record"}
ARTIFACTS = ("classes", "dataset", "model")


@pytest.fixture(scope="module")
def text() -> str:
    return compile_package(config())


@pytest.fixture(scope="module")
def package(text: str) -> Package:
    return Package(text)


@pytest.fixture(scope="module")
def ungrouped() -> Package:
    return Package(compile_package(config(group="none")))


def read(words: list[str]) -> Any:
    return arguments.parser("node", ["summary", "verdict"], ARTIFACTS).parse_args(words)


def without_descriptions(text: str) -> str:
    """Returns a package without the meanings of parameters, which are the documentation of the pipeline file."""
    documents = list(yaml.safe_load_all(text))
    for parameter in documents[0]["root"]["inputDefinitions"]["parameters"].values():
        parameter.pop("description", None)
    return yaml.safe_dump_all(documents)


def test_package_equals_golden_file(text: str) -> None:
    text = without_descriptions(text)
    if os.environ.get("KINDRED_UPDATE_GOLDEN"):
        GOLDEN.write_text(text, encoding="utf-8")
    assert text == GOLDEN.read_text(encoding="utf-8"), (
        f"the package has changed; if that is meant: KINDRED_UPDATE_GOLDEN=1 python -m pytest {Path(__file__).name}"
    )


def test_lists_join_the_task_of_the_pusher_if_wanted() -> None:
    for batch, last in (({}, "BatchLists"), (None, "Pusher")):
        wanted = PipelineConfig.model_validate({**TREE, "batch": batch})
        groups = group_nodes(shape.shape_of_config(wanted, Root(Path("/kindred/films"))), wanted.kubeflow)
        assert groups[-1].node_ids[-1] == last and "Pusher" in groups[-1].node_ids


def test_kfp_sdk_loads_package(text: str) -> None:
    assert components.load_component_from_text(text).name == "films"


def test_ungrouped_tasks_match_local_graph(ungrouped: Package, tmp_path: Path) -> None:
    graph = compile_graph(create_pipeline(config(), Root(tmp_path)), "r")
    local = {e.pipeline_node.node_info.id: set(e.pipeline_node.upstream_nodes) for e in graph.nodes}
    nodes = {task.key: task for task in ungrouped.tasks if task.name in local}
    before_gate = {task.name for task in nodes.values() if task.dag == "run"}
    waits = {task.name: {nodes[key].name for key in task.spec.get("dependentTasks", [])} for task in nodes.values()}
    # Each task of a group waits for the upstream tasks of the group.
    assert {n: waits[n] | (local[n] & before_gate if n not in before_gate else set()) for n in waits} == local


def test_light_nodes_share_a_task(package: Package) -> None:
    nodes = {t.name: t.container["args"][1].split(",") for t in package.tasks if t.container["args"][0] == "--nodes"}
    assert sorted(nodes) == ["Data", "EvaluateAndPush", "Trainer"]
    assert nodes["Trainer"] == ["Trainer"]
    assert nodes["Data"][-2:] == ["DataGate", "Transform"]
    assert nodes["EvaluateAndPush"] == [
        "LatestBlessedModel", "Evaluator", "ModelCard", "ServingCanary", "Pusher",
    ]  # fmt: skip
    assert len({task.name for task in package.tasks}) <= 6


def test_component_with_resources_has_own_task() -> None:
    changed = config(components={"Transform": {"memory": "32Gi"}})
    tasks = {task.name: task.container["args"] for task in Package(compile_package(changed)).tasks}
    assert tasks["Transform"][1] == "Transform"
    assert "Transform" not in tasks["Data"][1]


def test_run_id_is_input_of_each_task(package: Package) -> None:
    for task in package.tasks:
        assert task.spec["inputs"]["parameters"]["run_id"] == {
            "runtimeValue": {"constant": "{{$.pipeline_job_uuid}}"}
        }, task.name
        words = [*task.container["command"], *task.container["args"]]
        assert words[words.index("--run-id") + 1] == "{{$.inputs.parameters['run_id']}}"
        assert not any("pipeline_job" in word for word in words)


def test_downstream_tasks_wait_for_gate(package: Package) -> None:
    assert package.task("Data").dag == "run"
    assert {task.dag for task in package.tasks if task.name in ("Trainer", "EvaluateAndPush")} == {"data-accepted"}
    conditions = {name: dag.get("triggerPolicy", {}).get("condition") for name, dag in package.dags.items()}
    assert conditions == {
        "run": None,
        "data-accepted": "inputs.parameter_values['pipelinechannel--data-verdict'] == 'go'",
        "data-refused": "inputs.parameter_values['pipelinechannel--data-verdict'] == 'stop'",
        "model-refused": "inputs.parameter_values['pipelinechannel--evaluateandpush-verdict'] == 'stop'",
    }


def test_refusal_has_no_retries(package: Package) -> None:
    refusals = [task for task in package.tasks if task.name == "Refused"]
    assert sorted(task.dag for task in refusals) == ["data-refused", "model-refused"]
    assert not any("retryPolicy" in task.spec for task in refusals)


def test_retry_window_exceeds_one_hour(package: Package) -> None:
    policies = [task.spec["retryPolicy"] for task in package.tasks if "retryPolicy" in task.spec]
    assert [policy["backoffMaxDuration"] for policy in policies] == ["2592000s"] * len(policies)
    # Argo accepts only whole numbers.
    assert {policy["backoffFactor"] for policy in policies} == {2.0}


def test_report_always_runs(package: Package) -> None:
    report = package.task("RunReport")
    assert report.dag == "root"
    assert report.spec["triggerPolicy"] == {"strategy": "ALL_UPSTREAM_TASKS_COMPLETED"}


def test_tasks_are_containers_with_short_arguments(package: Package) -> None:
    assert package.spec["schemaVersion"] == "2.1.0"
    for task in package.tasks:
        assert task.container["image"] == "registry.example/kindred:1"
        assert all(len(word.encode()) <= MAX_ARGUMENT for word in task.container["args"])
        assert task.spec["cachingOptions"] == {}, "TFX has its own cache"


def test_no_two_tasks_share_a_container(package: Package) -> None:
    labels = [task.component["executorLabel"] for task in package.tasks]
    assert len(set(labels)) == len(labels)


def test_task_reads_compiled_configuration(package: Package) -> None:
    options = read(package.arguments("Trainer", OUTPUTS))
    assert (options.nodes, options.run_id, options.root) == ("Trainer", RUN_ID, "/kindred/films")
    assert options.accept_anomalies == ""
    found = arguments.read_config(options, Root(Path(options.root)))
    assert found == config().model_copy(update={"kubeflow": found.kubeflow})


def test_task_uses_run_parameters(package: Package) -> None:
    inputs = {
        "train_learning_rate": 1e-7, "train_epochs": 3.0, "model_bias": False, "span": "12", "pipeline_root": "/other",
        "data_path": "/kindred/new/{SPAN:3}/*", "accept_anomalies": "moved", "train_optimizer": "sgd",
    }  # fmt: skip
    options = read(package.arguments("EvaluateAndPush", OUTPUTS, **inputs))
    found = arguments.read_config(options, Root(Path(options.root)))
    assert (found.train.learning_rate, found.train.epochs, found.model.bias) == (1e-7, 3, False)
    assert (found.train.optimizer, found.data.path) == ("sgd", "/kindred/new/012/*")
    assert (options.root, options.accept_anomalies) == ("/other", "moved")
    assert (options.summary, options.verdict) == (OUTPUTS["summary"], OUTPUTS["verdict"])


def test_tasks_output_summaries_and_report(package: Package) -> None:
    kinds = {
        task.name: {
            name: output["artifactType"]["schemaTitle"]
            for name, output in task.component["outputDefinitions"]["artifacts"].items()
        }
        for task in package.tasks
        if task.name != "Refused"
    }
    assert kinds.pop("RunReport") == {
        "summary": "system.Markdown", "report": "system.HTML", "record": "system.Artifact", "metrics": "system.Metrics"
    }  # fmt: skip
    markdown = {"summary": "system.Markdown"}
    assert kinds == {
        "Data": markdown | {"dataset": "system.Dataset"},
        "Trainer": markdown,
        "EvaluateAndPush": markdown | {"classes": "system.ClassificationMetrics", "model": "system.Model"},
    }


def test_pairs_without_scores_have_no_classes() -> None:
    columns = {"left": "user", "right": "film"}
    tree_ = tree() | {"data": tree()["data"] | {"columns": columns}, "evaluate": {"metrics": ["recall@10"]}}
    tree_ = {name: value for name, value in tree_.items() if name not in ("score", "model", "train")}
    assert "ClassificationMetrics" not in compile_package(PipelineConfig.model_validate(tree_))


def test_parameters_have_descriptions(package: Package) -> None:
    parameters = package.spec["root"]["inputDefinitions"]["parameters"]
    assert parameters["model_dimension"]["description"] == "numbers per embedding"
    assert {name for name, parameter in parameters.items() if not parameter.get("description")} == set()


def test_run_parameters_have_the_names_in_advice(package: Package) -> None:
    assert {advice.DATA, advice.ROOT, advice.ACCEPT} <= set(package.defaults)


def test_component_settings_override_common_ones(package: Package) -> None:
    trainer, other = package.task("Trainer"), package.task("Data")
    own, common = trainer.container["resources"], other.container["resources"]
    assert (own["resourceCpuRequest"], own["resourceMemoryRequest"]) == ("4", "16Gi")
    assert own["resourceMemoryLimit"] == "20Gi"
    assert own["accelerator"]["resourceType"] == "nvidia.com/gpu"
    assert own["accelerator"]["resourceCount"] == "1"
    assert (common["resourceCpuRequest"], common["resourceMemoryRequest"]) == ("1", "2Gi")
    assert "accelerator" not in common
    assert "retryPolicy" not in trainer.spec
    assert other.spec["retryPolicy"]["maxRetryCount"] == 2
    (toleration,) = trainer.platform["tolerations"]
    assert toleration == {"key": "gpu", "operator": "Exists", "effect": "NoSchedule"}
    assert trainer.platform["nodeSelector"] == {"labels": {"pool": "batch"}}


def test_every_task_has_volumes_secrets_and_config_maps(package: Package) -> None:
    for task in package.tasks:
        given = task.platform
        assert [(mount["constant"], mount["mountPath"]) for mount in given["pvcMount"]] == [("kindred", "/kindred")]
        assert given["imagePullPolicy"] == "IfNotPresent"
        assert given["imagePullSecret"][0]["secretName"] == "registry"
        assert given["secretAsEnv"][0]["keyToEnv"] == [{"secretKey": "key", "envVar": "CLOUD_KEY"}]
        assert given["secretAsVolume"][0]["mountPath"] == "/etc/ca"
        assert given["configMapAsEnv"][0]["keyToEnv"] == [{"configMapKey": "url", "envVar": "HTTPS_PROXY"}]
        assert given["configMapAsVolume"][0]["mountPath"] == "/etc/files"


def test_root_in_a_store_needs_no_volume(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KINDRED_CACHE", str(tmp_path))
    changed = tree(root="s3://bucket/films") | {"storage": {"endpoint": "http://minio.kubeflow:9000"}}
    changed["data"] = {"path": "s3://bucket/data/{SPAN}/*.csv"}
    compiled = Package(compile_package(PipelineConfig.model_validate(changed)))
    assert compiled.defaults["pipeline_root"] == "s3://bucket/films"
    for task in compiled.tasks:
        assert "pvcMount" not in task.platform
        words = compiled.arguments(task.name, OUTPUTS) if task.name != "Refused" else task.container["args"]
        place = {name: words[words.index(name) + 1] for name in ("--mounts", "--storage")}
        assert json.loads(place["--mounts"]) == []
        assert json.loads(place["--storage"])["endpoint"] == "http://minio.kubeflow:9000"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"data": {"path": "/kindred/pairs.csv"}},
            "data.path: /kindred/pairs.csv does not exist for tasks, because they",
        ),
        ({"beam": {"profile": "flink", "flink_master": "flink:8081"}}, "beam.profile: workers of flink write to the"),
        ({"publish": {"approve": True}}, "publish.approve: `kindred approve` writes to the database"),
    ],
    ids=str,
)
def test_what_needs_a_volume_is_refused_with_a_root_in_a_store(
    changes: dict[str, Any], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KINDRED_CACHE", str(tmp_path))
    changed = tree(root="s3://bucket/films") | {"data": {"path": "s3://bucket/data/{SPAN}/*.csv"}} | changes
    with pytest.raises(ConfigError) as refused:
        compile_package(PipelineConfig.model_validate(changed))
    assert words in str(refused.value)


def test_password_is_only_in_secret() -> None:
    mysql = {"host": "db", "secret": "kindred-metadata-db"}
    compiled = Package(compile_package(config(metadata={"mysql": mysql}, secrets=[])))
    (secret,) = compiled.task("Data").platform["secretAsEnv"]
    assert secret["secretName"] == "kindred-metadata-db"
    assert secret["keyToEnv"] == [{"secretKey": "password", "envVar": "KINDRED_METADATA_PASSWORD"}]


def test_compilation_is_deterministic_across_processes(text: str, tmp_path: Path) -> None:
    (tmp_path / "pipeline.yaml").write_text(yaml.safe_dump(TREE))
    command = [str(Path(sys.executable).with_name("kindred")), "compile", "--config", str(tmp_path / "pipeline.yaml")]
    environment = {**os.environ, "PYTHONHASHSEED": "7"}
    out = tmp_path / "package.yaml"
    done = subprocess.run([*command, "--output", str(out)], check=True, env=environment, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("", f"{out}: compiled for kubeflow\n")
    assert out.read_text() == text
    assert sorted(path.name for path in tmp_path.iterdir()) == ["package.yaml", "pipeline.yaml"]


def test_own_schema_is_included_and_escaped(tmp_path: Path) -> None:
    text = 'feature { name: "left_id" annotation { tag: "{{$.x}}" tag: "$$ $(HOME)" } }\n'
    (tmp_path / "own.pbtxt").write_text(text)
    changed = tree() | {"schema": str(tmp_path / "own.pbtxt")}
    changed["data"] = {"path": "/kindred/{{x}}.csv"}
    words = Package(compile_package(PipelineConfig.model_validate(changed))).task("Trainer").container["args"]
    constants = [word for word in words if not word.startswith("{{$")]
    assert not any("{{" in word or "$" in word for word in constants)
    assert json.loads(words[words.index("--config") + 1])["data"]["path"] == "/kindred/{{x}}.csv"
    assert json.loads(words[words.index("--schema") + 1]) == text


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"root": "/elsewhere/films"}, "kubeflow.root: must be a URL, or on one of kubeflow.volumes"),
        ({"volumes": []}, "kubeflow.root: is not set and kubeflow.volumes is empty"),
        (
            {"volumes": [{"claim": "c", "mount": "/other"}]},
            "data.path: /kindred/data/span-{SPAN}/*.csv does not exist for tasks",
        ),
        ({"metadata": {"sqlite": "/var/m.sqlite"}}, "kubeflow.metadata.sqlite: must be on one of kubeflow.volumes"),
        (
            {"components": {"Trainer2": {}}},
            "kubeflow.components.Trainer2: no such component; choose one of ImportSchemaGen",
        ),
        ({"parameters": ["training"]}, "kubeflow.parameters: no such key of the pipeline file (got 'training')"),
        ({"parameters": ["kubeflow.image"]}, "determines the package"),
        ({"parameters": ["train", "train.epochs"]}, "duplicate parameter train_epochs"),
        ({"root": "/kindred/$(HOME)"}, "run parameter pipeline_root: must not contain $$ or $("),
    ],
    ids=str,
)
def test_invalid_cluster_settings_are_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError) as refused:
        compile_package(config(**changes))
    assert words in str(refused.value)


@pytest.mark.parametrize(
    ("publish", "words"),
    [
        ({"watch": {"endpoint": "http://models:8501", "max_error_rate": 0.1}}, "publish.watch: no task of Kubeflow"),
        ({"replay": "/home/me/log"}, "publish.replay.log: /home/me/log does not exist for tasks"),
    ],
    ids=["watch", "replay"],
)
def test_what_tasks_cannot_reach_is_refused(publish: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError) as refused:
        compile_package(config().model_copy(update={"publish": Publish.model_validate(publish)}))
    assert words in str(refused.value)


def test_tasks_have_no_client_of_dataflow() -> None:
    job = {
        "project": "kind-red-1",
        "region": "europe-west4",
        "temp_location": "gs://bucket/temp",
        "image": "r/kindred:1",
    }
    data = tree()["data"] | {"path": "gs://bucket/pairs.csv"}
    settings = PipelineConfig.model_validate(tree() | {"data": data, "beam": {"profile": "dataflow", "dataflow": job}})
    with pytest.raises(ConfigError, match="dataflow is for `kindred run`"):
        compile_package(settings)


def test_non_python_component_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    stranger = create_container_component(name="Stranger", image="stranger:1", command=["run"])

    def create(*_: Any) -> Pipeline:
        return Pipeline("films", "/kindred/films", components=[stranger().with_id("Stranger")])

    monkeypatch.setattr(shape, "create_pipeline", create)
    with pytest.raises(ConfigError, match="Stranger: its executor is a ContainerExecutableSpec"):
        compile_package(config(components={}))


def test_too_long_argument_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiler, "MAX_ARGUMENT", 200)
    with pytest.raises(ConfigError, match=r"--config: \d,\d+ bytes, but an argument of a task has at most 200"):
        compile_package(config())
