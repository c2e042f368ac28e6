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


def test_numbered_columns_have_no_header(folder: Path) -> None:
    tree = full_tree()
    assert ingest_settings(load_config(write(folder, tree))).columns.has_header
    tree["data"]["columns"] = {"left": 2, "right": 0, "score": 1}
    assert not ingest_settings(load_config(write(folder, tree))).columns.has_header


def test_mean_of_duplicates_needs_scores(tmp_path: Path) -> None:
    tree = positives()
    tree["data"]["duplicates"] = "mean"
    assert "data: duplicates: mean needs columns.score" in refusal(tmp_path, tree)
