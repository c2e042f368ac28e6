"""Section `evaluate`: the blessing rules and their metrics."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipeline.config import load_config
from tests.unit.pipeline.config.pipeline_files import full_tree, refusal, write


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ({"metric": "rsme", "below": 1}, "evaluate.bless.0.metric: unknown metric. Choose rmse, mae, auc"),
        ({"metric": "recall", "above": 0}, "evaluate.bless.0.metric: unknown metric"),
        ({"metric": "rmse", "slice": "left", "below": 1}, "evaluate.bless.0.slice: "),
        ({"metric": "ndcg@5", "slice": "unknown", "above": 0}, "slice: ndcg@5 is measured on left_head, left_middle"),
        ({"metric": "coverage@5", "above": 0}, "coverage is reported, and no rule can use it"),
        ({"metric": "ndcg@5", "better_than": "biases"}, "better_than: biases is no baseline of ndcg@5"),
        ({"metric": "rmse", "better_than": "popularity"}, "better_than: popularity is no baseline of rmse"),
        ({"metric": "sampled_ndcg@5", "above": 0}, "sampled_ndcg@5 needs evaluate.candidates"),
    ],
)
def test_rule_on_unmeasured_metric_is_refused(tmp_path: Path, rule: dict[str, Any], words: str) -> None:
    tree = {"name": "films", "data": {"path": "/d.csv"}, "evaluate": {"bless": [rule]}}
    assert words in refusal(tmp_path, tree)


def test_candidates_path_is_relative_to_file(tmp_path: Path) -> None:
    evaluate = {"candidates": "negatives.csv", "metrics": ["sampled_hit_rate@10"]}
    config = load_config(write(tmp_path, {"name": "films", "data": {"path": "/d.csv"}, "evaluate": evaluate}))
    assert config.evaluate.candidates == str(tmp_path / "negatives.csv")
    assert config.evaluate.all_metrics == ("sampled_hit_rate@10", "rmse")


def test_bound_on_two_slices_is_two_rules(tmp_path: Path) -> None:
    bless = [{"metric": "rmse", "below": 1}, {"metric": "rmse", "slice": "left_tail", "below": 2}]
    config = load_config(write(tmp_path, {"name": "f", "data": {"path": "/d.csv"}, "evaluate": {"bless": bless}}))
    assert list(map(str, config.evaluate.bless)) == ["rmse below 1", "rmse on left_tail below 2"]
    assert config.evaluate.measured_slices.count("left_tail") == 1


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ({"metric": "rmse"}, "exactly one of below, above, better_than"),
        ({"metric": "rmse", "below": 1, "above": 0}, "exactly one of below, above, better_than"),
        ({"metric": "rmse", "below": 1, "better_than": "baseline"}, "exactly one of below, above, better_than"),
        ({"metric": "rmse", "below": 1, "margin": 0.1}, "margin goes with better_than only"),
    ],
)
def test_rule_has_one_bound(folder: Path, rule: dict[str, Any], said: str) -> None:
    tree = full_tree()
    tree["evaluate"]["bless"] = [{"metric": "mae", "below": 1}, rule]
    message = refusal(folder, tree)
    assert message.startswith(f"{folder / 'pipeline.yaml'}: evaluate.bless.1: ")
    assert said in message


def test_zero_is_a_valid_bound(folder: Path) -> None:
    tree = full_tree()
    tree["evaluate"]["bless"] = [{"metric": "rmse", "above": 0}, {"metric": "mae", "below": 0.0}]
    assert [str(r) for r in load_config(write(folder, tree)).evaluate.bless] == ["rmse above 0", "mae below 0"]


def test_duplicate_bound_is_refused(folder: Path) -> None:
    tree = full_tree()
    tree["evaluate"]["bless"] = [{"metric": "rmse", "below": 1}, {"metric": "rmse", "below": 2}]
    assert "evaluate.bless: the same metric has the same kind of bound twice" in refusal(folder, tree)
    tree["evaluate"]["bless"][1]["metric"] = "mae"
    assert len(load_config(write(folder, tree)).evaluate.bless) == 2
