"""How faults of a pipeline file are told."""

from __future__ import annotations

from pathlib import Path

from tests.unit.pipeline.config.pipeline_files import refusal


def test_every_fault_is_listed_not_only_the_first(folder: Path) -> None:
    tree = {"name": "X", "data": {"path": "d", "split": {"eval_fraction": 2}}, "modle": {}, "train": {"epochs": "5"}}
    lines = refusal(folder, tree).splitlines()
    assert len(lines) == 4
    for key in ("name", "data.split.eval_fraction", "modle", "train.epochs"):
        assert sum(f"pipeline.yaml: {key}: " in line for line in lines) == 1


def test_the_message_is_key_rule_and_value(folder: Path) -> None:
    tree = {"name": "films", "data": {"path": "d", "split": {"eval_fraction": 1}}}
    source = folder / "pipeline.yaml"
    assert refusal(folder, tree) == f"{source}: data.split.eval_fraction: must be less than 1 (got 1)"
    assert refusal(folder, {"name": "films"}) == f"{source}: data.path: required, and missing"
