"""Rules that involve several sections."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipeline.config import load_config
from tests.unit.pipeline.config.pipeline_files import positives, refusal, write


@pytest.mark.parametrize("objective", ["ials", "cosine", "softmax", "pairwise", "logistic"])
def test_positives_accept_their_objectives(tmp_path: Path, objective: str) -> None:
    assert load_config(write(tmp_path, positives(model={"objective": objective}))).model.objective == objective


@pytest.mark.parametrize(
    ("sections", "words"),
    [
        ({"model": {"objective": "regression"}}, "model.objective: regression needs data.columns.score"),
        ({"score": {"center": "mean"}}, "score: has no effect without data.columns.score"),
        ({"evaluate": {"metrics": ["rmse"]}}, "evaluate: rmse needs data.columns.score"),
        ({"evaluate": {"bless": [{"metric": "auc", "above": 0.6}]}}, "evaluate: auc needs data.columns.score"),
        ({"score": {"scale": "std"}}, "score: has no effect without data.columns.score"),
    ],
)
def test_keys_that_need_scores_are_refused(tmp_path: Path, sections: dict[str, Any], words: str) -> None:
    assert refusal(tmp_path, positives(**sections)).startswith(f"{tmp_path / 'pipeline.yaml'}: {words}")


@pytest.mark.parametrize("objective", ["ials", "cosine", "softmax", "pairwise"])
def test_objectives_of_positives_refuse_scores(tmp_path: Path, objective: str) -> None:
    tree = {"name": "films", "data": {"path": "/d.csv"}, "model": {"objective": objective}}
    assert f"model.objective: {objective} takes every pair for a positive" in refusal(tmp_path, tree)


@pytest.mark.parametrize(
    ("sections", "words"),
    [
        (
            {"encode": {"oov_hashes": 2}},
            "encode: oov_hashes: at most oov_buckets, the rows they choose from (got 2 with 1)",
        ),
        (
            {"encode": {"oov_hashes": 2, "oov_buckets": 9}, "train": {"optimizer": "als"}},
            "encode.oov_hashes: 1 with train.optimizer als, which solves for single rows and not for means of rows "
            "(got 2). Omit the key, or use adagrad, adam or sgd",
        ),
    ],
)
def test_invalid_hashes_are_refused(tmp_path: Path, sections: dict[str, Any], words: str) -> None:
    assert words in refusal(tmp_path, {"name": "films", "data": {"path": "/d.csv"}} | sections)


def test_refused_hashes_name_possible_objectives(tmp_path: Path) -> None:
    encode = {"oov_hashes": 2, "oov_buckets": 9}
    said = refusal(tmp_path, positives(encode=encode, model={"objective": "ials"}))
    assert said.endswith("use adagrad, adam or sgd with model.objective cosine, softmax, pairwise or logistic")
    config = load_config(write(tmp_path, positives(encode=encode, model={"objective": "softmax"})))
    assert config.encode.oov_hashes == 2
