"""Section `data`: combinations of columns, and the columns that splits and duplicates need."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipeline.config import ingest_settings, load_config
from tests.unit.pipeline.config.pipeline_files import full_tree, positives, refusal, write


@pytest.mark.parametrize("columns", [{"left": 0, "right": 1, "score": "s"}, {"left": "a", "right": "a", "score": "s"}])
def test_columns_have_one_kind_and_differ(folder: Path, columns: dict[str, Any]) -> None:
    tree = full_tree()
    tree["data"]["columns"] = columns
    assert refusal(folder, tree).startswith(f"{folder / 'pipeline.yaml'}: data.columns: ")


def test_split_by_time_needs_time_column(folder: Path) -> None:
    tree = full_tree()
    tree["data"]["split"]["by"] = "time"
    message = refusal(folder, tree)
    assert message.startswith(f"{folder / 'pipeline.yaml'}: data: ") and "columns.time" in message
    tree["data"]["columns"]["time"] = "at"
    assert load_config(write(folder, tree)).data.split.by == "time"


@pytest.mark.parametrize(
    ("split", "columns", "message"),
    [
        ({"by": "column"}, {"fold": "f"}, "data.split: split.by: column needs split.eval_folds"),
        ({"by": "column", "eval_folds": [1]}, {}, "data: split.by: column needs columns.fold"),
        ({"by": "left", "eval_folds": [1]}, {"fold": "f"}, "data.split: split.eval_folds has no effect with by: left"),
        ({"by": "column", "eval_folds": [1.5]}, {"fold": "f"}, "data.split.eval_folds.0: "),
    ],
)
def test_given_split_needs_column_and_folds(
    folder: Path, split: dict[str, Any], columns: dict[str, Any], message: str
) -> None:
    tree = full_tree()
    tree["data"] |= {"split": split, "columns": {"left": "a", "right": "b", **columns}}
    assert message in refusal(folder, tree)


def test_one_table_makes_pairs_unordered(folder: Path) -> None:
    tree = full_tree()
    tree["train"]["search"]["settings"] = []  # it is not searched with one table
    for shared in (False, True):
        tree["encode"]["shared"] = shared
        assert ingest_settings(load_config(write(folder, tree)), "").unordered == shared


def test_numbered_columns_have_no_header(folder: Path) -> None:
    tree = full_tree()
    assert ingest_settings(load_config(write(folder, tree)), "").columns.has_header
    tree["data"]["columns"] = {"left": 2, "right": 0, "score": 1}
    assert not ingest_settings(load_config(write(folder, tree)), "").columns.has_header


def test_mean_of_duplicates_needs_scores(tmp_path: Path) -> None:
    tree = positives()
    tree["data"]["duplicates"] = "mean"
    assert "data: duplicates: mean needs columns.score" in refusal(tmp_path, tree)
