"""Section `kubeflow`: valid values, and their transfer to the tasks."""

from __future__ import annotations

from typing import Any

import pytest

from errors import ConfigError
from pipeline.config import PipelineConfig, build_config
from pipeline.config.sections.kubeflow import Kubeflow


def config(kubeflow: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"name": "films", "data": {"path": "/kindred/a.csv"}, "kubeflow": kubeflow or {}}


@pytest.mark.parametrize(
    ("kubeflow", "words"),
    [
        ({"imag": "x"}, "kubeflow.imag: unknown key"),
        ({"image": ""}, "kubeflow.image: "),
        ({"image_pull_policy": "Sometimes"}, "kubeflow.image_pull_policy: must be 'Always'"),
        ({"root": "relative"}, "kubeflow.root: must be an absolute path on a volume, or a URL that begins with s3://"),
        ({"root": "//films"}, "kubeflow.root: must be an absolute path"),
        ({"root": "ftp://host/films"}, "kubeflow.root: must be an absolute path"),
        ({"root": "s3://bucket/../films"}, "kubeflow.root: must have no empty part, . or .. in the key"),
        ({"task": {"env": {"AWS_SECRET_ACCESS_KEY": "x"}}}, "is a secret, which would be readable in the package"),
        (
            {"components": {"Trainer": {"env": {"AZURE_STORAGE_KEY": "x"}}}},
            "is a secret, which would be readable in the package. Use kubeflow.secrets",
        ),
        ({"volumes": [{"claim": "Bad_Name", "mount": "/a"}]}, "kubeflow.volumes.0.claim: "),
        (
            {"volumes": [{"claim": "a", "mount": "/a"}, {"claim": "b", "mount": "/a"}]},
            "two volumes have the same mount",
        ),
        ({"metadata": {"grpc": {}, "sqlite": "/a/b"}}, "exactly one of grpc, mysql and sqlite"),
        ({"metadata": {"grpc": {"port": 0}}}, "kubeflow.metadata.grpc.port: must be greater than 0 (got 0)"),
        ({"secrets": [{"name": "s"}]}, "exactly one of env and mount"),
        ({"config_maps": [{"name": "s", "env": {"a": "A"}, "mount": "/m"}]}, "exactly one of env and mount"),
        ({"task": {"cpu": "many"}}, "kubeflow.task.cpu: "),
        ({"task": {"memory": "4 GB"}}, "kubeflow.task.memory: "),
        ({"task": {"run_as_user": 0}}, "kubeflow.task.run_as_user: user 0 is root, which no task needs"),
        ({"task": {"run_as_user": -1}}, "kubeflow.task.run_as_user: "),
        ({"task": {"run_as_user": "kindred"}}, "kubeflow.task.run_as_user: "),
        ({"task": {"run_as_group": 2**31}}, "kubeflow.task.run_as_group: "),
        ({"components": {"Trainer": {"run_as_non_root": "no"}}}, "kubeflow.components.Trainer.run_as_non_root: "),
        ({"components": {"Trainer": {"gpu": 0}}}, "kubeflow.components.Trainer.gpu: must be greater than 0"),
        ({"task": {"tolerations": [{"effect": "Never"}]}}, "kubeflow.task.tolerations.0.effect: "),
    ],
    ids=str,
)
def test_wrong_value_is_refused_with_key(kubeflow: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError) as refused:
        build_config(config(kubeflow), (), "films.yaml")
    assert words in str(refused.value)


def test_metadata_defaults_to_deployed_service() -> None:
    assert Kubeflow.model_validate({"metadata": {"wait_seconds": 5}}).metadata.grpc.host == "kindred-metadata"
    assert Kubeflow.model_validate({"metadata": {"sqlite": "/k/m.sqlite"}}).metadata.grpc is None


def test_root_in_a_store_needs_no_volume() -> None:
    assert Kubeflow.model_validate({"root": "gs://bucket/films"}).volumes == ()
    assert [volume.mount for volume in Kubeflow.model_validate({"root": "/kindred/f"}).volumes] == ["/kindred"]
    both = Kubeflow.model_validate({"root": "az://c/films", "volumes": [{"claim": "data", "mount": "/data"}]})
    assert [volume.claim for volume in both.volumes] == ["data"], "for the data, for example"


def test_component_overrides_only_its_keys() -> None:
    kubeflow = Kubeflow.model_validate(
        {"task": {"cpu": "2", "memory": "8Gi", "retries": 5}, "components": {"Trainer": {"cpu": "1"}}}
    )
    trainer = kubeflow.task_of("Trainer")
    assert (trainer.cpu, trainer.memory, trainer.retries) == ("1", "8Gi", 5), "set to the default is set"
    assert kubeflow.task_of("Pusher") == kubeflow.task


@pytest.mark.parametrize(
    "tree",
    [
        {},
        {"data": {"path": "/k/a.csv", "columns": {"left": "user", "right": "film"}}},
        {"model": {"objective": "logistic"}},
        {"train": {"early_stopping": None}, "score": {"center": "none"}},
    ],
    ids=str,
)
def test_configuration_reaches_tasks_unchanged(tree: dict[str, Any]) -> None:
    """The compiler sends everything except the curated schema, which the image also has."""
    before = PipelineConfig.model_validate(config() | tree)
    sent = before.to_json()
    del sent["kubeflow"], sent["schema"]
    assert build_config(sent, (), "run parameters") == before
