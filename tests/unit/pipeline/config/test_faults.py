"""Error messages about a pipeline file."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.pipeline.config.pipeline_files import refusal


def test_all_faults_are_listed(folder: Path) -> None:
    tree = {"name": "X", "data": {"path": "d", "split": {"eval_fraction": 2}}, "modle": {}, "train": {"epochs": "5"}}
    lines = refusal(folder, tree).splitlines()
    assert len(lines) == 4
    for key in ("name", "data.split.eval_fraction", "modle", "train.epochs"):
        assert sum(f"pipeline.yaml: {key}: " in line for line in lines) == 1


def test_message_has_key_rule_and_value(folder: Path) -> None:
    tree = {"name": "films", "data": {"path": "d", "split": {"eval_fraction": 1}}}
    source = folder / "pipeline.yaml"
    assert refusal(folder, tree) == f"{source}: data.split.eval_fraction: must be less than 1 (got 1)"
    assert refusal(folder, {"name": "films"}) == f"{source}: data.path: required key is missing"


@pytest.mark.parametrize(
    ("tree", "words"),
    [
        ({"modle": {}}, "modle: unknown key. Did you mean model?"),
        ({"shema": "x"}, "shema: unknown key. Did you mean schema?"),
        ({"train": {"epoch": 3}}, "train.epoch: unknown key. Did you mean epochs?"),
        (
            {"data": {"path": "d", "columns": {"user": "u"}}},
            "columns.user: unknown key. Choose from fold, left, right, ",
        ),
        ({"publish": {"canary": {"row": 1}}}, "publish.canary.row: unknown key. Did you mean rows?"),
        ({"evaluate": {"bless": [{"metric": "rmse", "bellow": 1}]}}, "bellow: unknown key. Did you mean below?"),
        ({"tune": {"parameters": {"train.epochs": {"min": 1, "max": 2, "skale": "log"}}}}, "Did you mean scale?"),
        ({"kubeflow": {"components": {"Trainer": {"cpus": "1"}}}}, "cpus: unknown key. Did you mean cpu?"),
    ],
)
def test_unknown_key_suggests_closest_key(folder: Path, tree: dict, words: str) -> None:
    assert words in refusal(folder, {"name": "films", "data": {"path": "d"}, **tree})
