"""The sections `data.left_features` and `data.right_features`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipeline.config import load_config
from tests.unit.pipeline.config.pipeline_files import refusal, write


def tree(features: Any, **sections: Any) -> dict[str, Any]:
    columns = {"left": "user", "right": "film"}
    return {"name": "films", "data": {"path": "pairs.csv", "columns": columns, "right_features": features}, **sections}


GOOD = {"path": "films.csv", "id": "film", "columns": {"genres": "tags", "year": {"kind": "number", "buckets": 3}}}


def test_paths_are_relative_to_the_file_and_short_forms_are_spelled_out(tmp_path: Path) -> None:
    config = load_config(write(tmp_path, tree(GOOD)))
    (given,) = config.data.features.values()
    assert given.path == str(tmp_path / "films.csv")
    assert given.columns["genres"].kind == "tags"
    assert given.columns_by_name == {"genres": "genres", "year": "year"}
    assert config.feature_columns["features"]["right"]["year"]["buckets"] == 3


def test_a_file_without_features_adds_nothing_to_nodes(tmp_path: Path) -> None:
    assert load_config(write(tmp_path, tree(None))).feature_columns == {}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"columns": {}}, "data.right_features.columns: Dictionary should have at least 1 item"),
        ({"columns": {"genres": "words"}}, "data.right_features.columns.genres.kind: must be 'category', 'tags'"),
        ({"columns": {"Genres": "tags"}}, "data.right_features.columns.Genres"),
        ({"columns": {"id": "tags"}}, "the name 'id' is taken"),
        ({"columns": {"genres": {"kind": "tags", "buckets": 3}}}, "buckets has no effect with kind: tags"),
        ({"columns": {"year": {"kind": "number", "min_count": 3}}}, "min_count has no effect with kind: number"),
        ({"columns": {"title": {"kind": "text", "separator": ","}}}, "separator has no effect with kind: text"),
        ({"id": 0}, "id and columns must be all names (the file has a header) or all numbers"),
        ({"format": "adjacency"}, "data.right_features.format: must be 'auto', 'csv'"),
        ({"ids": "film"}, "data.right_features.ids: unknown key. Did you mean id?"),
    ],
)
def test_a_fault_names_its_key_and_rule(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    assert message in refusal(tmp_path, tree(GOOD | changes))


def test_a_shared_table_has_no_sides(tmp_path: Path) -> None:
    assert "data.right_features: not with encode.shared" in refusal(tmp_path, tree(GOOD, encode={"shared": True}))
