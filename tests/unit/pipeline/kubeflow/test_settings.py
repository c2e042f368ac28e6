"""Section `kubeflow`, and the parameters of runs."""

from __future__ import annotations

from typing import Any

import hypothesis
import pytest
from hypothesis import strategies as st

from pipeline.config import PipelineConfig, build_config
from pipeline.errors import ConfigError
from pipeline.kubeflow.parameters import LATEST, at_span, is_parameter, run_parameters
from pipeline.kubeflow.settings import Kubeflow


def config(kubeflow: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"name": "films", "data": {"path": "/kindred/a.csv"}, "kubeflow": kubeflow or {}}


@pytest.mark.parametrize(
    ("kubeflow", "words"),
    [
        ({"imag": "x"}, "kubeflow.imag: unknown key"),
        ({"image": ""}, "kubeflow.image: "),
        ({"image_pull_policy": "Sometimes"}, "kubeflow.image_pull_policy: must be 'Always'"),
        ({"root": "relative"}, "kubeflow.root: "),
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
        ({"components": {"Trainer": {"gpu": 0}}}, "kubeflow.components.Trainer.gpu: must be greater than 0"),
        ({"task": {"tolerations": [{"effect": "Never"}]}}, "kubeflow.task.tolerations.0.effect: "),
    ],
    ids=str,
)
def test_a_wrong_value_is_refused_with_its_key(kubeflow: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError) as refused:
        build_config(config(kubeflow), (), "films.yaml")
    assert words in str(refused.value)


def test_metadata_is_the_service_of_deploy_unless_another_is_named() -> None:
    assert Kubeflow.model_validate({"metadata": {"wait_seconds": 5}}).metadata.grpc.host == "kindred-metadata"
    assert Kubeflow.model_validate({"metadata": {"sqlite": "/k/m.sqlite"}}).metadata.grpc is None


def test_a_component_overrides_only_what_it_sets() -> None:
    kubeflow = Kubeflow.model_validate(
        {"task": {"cpu": "2", "memory": "8Gi", "retries": 5}, "components": {"Trainer": {"cpu": "1"}}}
    )
    trainer = kubeflow.task_of("Trainer")
    assert (trainer.cpu, trainer.memory, trainer.retries) == ("1", "8Gi", 5), "set to the default is set"
    assert kubeflow.task_of("Pusher") == kubeflow.task


def test_parameters_are_the_values_of_the_sections_and_never_null() -> None:
    parameters = {p.name: p.default for p in run_parameters(PipelineConfig.model_validate(config()), "/kindred/films")}
    assert parameters["train_early_stopping_patience"] == 2
    assert parameters["pipeline_root"] == "/kindred/films" and parameters["span"] == LATEST
    assert "encode_max_vocabulary" not in parameters and None not in parameters.values()
    only = PipelineConfig.model_validate(config({"parameters": ["validate.min_rows"]}))
    assert is_parameter(only, "validate.min_rows") and not is_parameter(only, "train.epochs")


@pytest.mark.parametrize(
    ("path", "span", "expected"),
    [
        ("/d/span-{SPAN}/*", LATEST, "/d/span-{SPAN}/*"),
        ("/d/span-{SPAN}/*", "7", "/d/span-7/*"),
        ("/d/span-{SPAN:4}/*", "7", "/d/span-0007/*"),
        ("/d/{YYYY}/{MM}-{DD}.csv", "2026-11-05", "/d/2026/11-05.csv"),
        ("/d/a.csv", LATEST, "/d/a.csv"),
    ],
)
def test_a_span_is_filled_in(path: str, span: str, expected: str) -> None:
    assert at_span(path, span) == expected


@pytest.mark.parametrize(
    ("path", "span"), [("/d/{SPAN}", "seven"), ("/d/{SPAN}", "-1"), ("/d/{YYYY}{MM}{DD}", "7"), ("/d/a.csv", "7")]
)
def test_a_span_that_cannot_be_is_refused(path: str, span: str) -> None:
    with pytest.raises(ConfigError, match="span: "):
        at_span(path, span)


@hypothesis.given(st.integers(0, 10**9), st.integers(1, 12))
def test_a_span_has_at_least_its_width_and_is_its_number(span: int, width: int) -> None:
    found = at_span(f"/d/{{SPAN:{width}}}", str(span)).removeprefix("/d/")
    assert int(found) == span and len(found) == max(width, len(str(span)))


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
def test_every_configuration_survives_the_way_to_its_tasks(tree: dict[str, Any]) -> None:
    """As `compiler` sends it: whole but for the curated schema, which the image has too."""
    before = PipelineConfig.model_validate(config() | tree)
    sent = before.to_json()
    del sent["kubeflow"], sent["schema"]
    assert build_config(sent, (), "run parameters") == before
