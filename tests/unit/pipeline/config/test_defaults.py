"""Defaults of a pipeline file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from components.evaluator.settings import default_rules
from pipeline.config import SCHEMA, SCHEMA_OF_POSITIVES, PipelineConfig, ingest_settings, load_config
from tests.unit.pipeline.config.pipeline_files import positives, refusal, write

FIVE_LINES = """\
name: films
data:
  path: ratings.csv
train:
  epochs: 3
"""


def test_minimal_file_has_defaults(tmp_path: Path) -> None:
    path = tmp_path / "pipeline.yaml"
    path.write_text(FIVE_LINES)
    config = load_config(path)
    assert config.name == "films"
    assert config.data.path == str(tmp_path / "ratings.csv")
    assert config.train.epochs == 3
    assert (config.data.columns.left, config.data.columns.right, config.data.columns.score) == (
        "left_id",
        "right_id",
        "score",
    )
    assert config.schema_path == str(SCHEMA) and SCHEMA.is_file()
    assert config.evaluate.has_default_rules
    assert list(map(str, config.evaluate.bless)) == [
        "rmse better than constant-mean baseline",
        "rmse no worse than last blessed model",
    ]
    assert config.evaluate.bless == default_rules("rmse")


def test_pairs_without_score_are_positives(tmp_path: Path) -> None:
    config = load_config(write(tmp_path, positives(model={"dimension": 8})))
    assert config.data.columns.score is None
    assert (config.model.objective, config.model.dimension) == ("ials", 8)
    assert config.schema_path == str(SCHEMA_OF_POSITIVES) and SCHEMA_OF_POSITIVES.is_file()
    assert (config.score.center, config.score.scale) == ("none", "none")
    assert config.evaluate.bless == default_rules("ndcg@10") and config.evaluate.has_default_rules
    assert "recall@10" in config.evaluate.metrics
    assert ingest_settings(config, "").columns.roles == {"left": "u", "right": "f"}
    assert load_config(write(tmp_path, config.to_json())) == config


def test_logistic_model_has_sign_rules(tmp_path: Path) -> None:
    tree = {"name": "films", "data": {"path": "/d.csv"}, "model": {"objective": "logistic"}}
    config = load_config(write(tmp_path, tree))
    assert config.evaluate.bless == default_rules("auc") and config.evaluate.has_default_rules
    tree["evaluate"] = {"bless": [{"metric": "rmse", "below": 1}]}
    assert list(map(str, load_config(write(tmp_path, tree)).evaluate.bless)) == ["rmse below 1"]


@pytest.mark.parametrize(
    ("sections", "objective"),
    [
        ({}, "ials"),
        ({"encode": {"min_count": 2, "shared": False}, "train": {"optimizer": "als"}}, "ials"),
        ({"encode": {"shared": True}}, "softmax"),
        ({"encode": {"oov_buckets": 9, "oov_hashes": 2}}, "softmax"),
        ({"model": {"normalize": True}}, "softmax"),
        ({"model": {"temperature": 0.2}}, "softmax"),
        ({"train": {"optimizer": "adam"}}, "softmax"),
        ({"train": {"devices": "all"}}, "softmax"),
    ],
)
def test_default_objective_of_positives_can_do_what_the_file_sets(sections: dict[str, Any], objective: str) -> None:
    config = PipelineConfig.model_validate(positives(**sections))
    assert config.model.objective == objective
    assert (config.train.optimizer == "als") == (objective == "ials")
    assert [rule.metric for rule in config.evaluate.bless] == ["ndcg@10"] * 2


def test_objective_of_the_file_is_kept(tmp_path: Path) -> None:
    tree = positives(encode={"shared": True}, model={"objective": "ials"})
    assert "encode.shared: not with train.optimizer als" in refusal(tmp_path, tree)
