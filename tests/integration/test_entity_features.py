"""Files of features: an account of every row, and encoded rows against an oracle in plain Python."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from components.pair_example_gen.settings import ColumnSettings, IngestSettings
from components.pair_statistics import entity_features as statistics
from components.pair_statistics.entity_features import FeatureStatistics
from components.pair_transform import entity_features
from components.pair_transform.vocabulary import Vocabulary
from errors import DataRefused, InputError
from tests.integration.ingesting import ingest
from trainer.entity_features.encoder import FeatureEncoder, graph_folder
from trainer.entity_features.settings import columns_of
from trainer.entity_features.table import Account, read_account, read_table

pytestmark = pytest.mark.tensorflow

PAIRS = "left,right\na,x\na,y\nb,x\nb,z\nc,y\nc,x\nd,z\nd,w\ne,w\n"
COLUMNS = {
    "genres": {"kind": "tags"},
    "year": {"kind": "number"},
    "title": {"kind": "text"},
    "studio": {"kind": "category", "min_count": 2},
}
FEATURES = """film,genres,year,title,studio
x,Comedy|Drama|Comedy,1990,The X-Film,A
y,Drama,nineteen,Y,A
z,, ,"Zed, the film",B
cold,Horror|Drama,2001,New one,A
x,Comedy,1990,again,A
,Comedy,1990,none,A
y,Drama,2000,The Y,A
"""


def settings(path: Path, columns: dict[str, Any] = COLUMNS, **changes: Any) -> IngestSettings:
    features = {"path": str(path), "id": "film", "columns": columns}
    split = {"by": "column", "eval_folds": ["none of them"]}
    del split
    return IngestSettings(
        path="not read",
        columns=ColumnSettings(left="left", right="right"),
        right_features=features,
        **{"max_quarantined_fraction": 1.0, "split": {"eval_fraction": 1e-9}} | changes,
    )


def read(
    tmp_path: Path, text: str = FEATURES, name: str = "films.csv", **changes: Any
) -> tuple[str, list[dict[str, Any]]]:
    """Returns the URI of the examples, and the quarantined rows."""
    (tmp_path / "pairs.csv").write_text(PAIRS)
    if text:
        (tmp_path / name).write_text(text)
    found = ingest(tmp_path / "pairs.csv", tmp_path, settings(tmp_path / name, **changes), inline=True)
    return str(tmp_path / "examples" / "1"), found.bad


def test_every_row_of_a_file_of_features_is_accounted_for(tmp_path: Path) -> None:
    examples, bad = read(tmp_path)
    table = read_table(examples, "right")
    assert table is not None
    assert table["id"].to_pylist() == [b"x", b"z", b"cold", b"y"]
    assert table["genres"].to_pylist() == [[b"Comedy", b"Drama"], None, [b"Horror", b"Drama"], [b"Drama"]]
    assert table["year"].to_pylist() == [1990, None, 2001, 2000]
    assert [(row["line"], row["reason"]) for row in bad] == [
        (3, "year is not a number"),
        (6, "an earlier row has the same id"),
        (7, "id is empty"),
    ]
    reasons = {row["reason"]: 1 for row in bad}
    missing = {"genres": 0.25, "year": 0.25, "title": 0.0, "studio": 0.0}
    # Entity w of the pairs has no row.
    kinds = {"genres": "tags", "year": "number", "title": "text", "studio": "category"}
    assert read_account(examples, "right") == Account(7, reasons, 4, 1, 1, missing, kinds)
    assert read_table(examples, "left") is None


def test_statistics_count_missing_values_and_each_category(tmp_path: Path) -> None:
    examples, _ = read(tmp_path)
    found = statistics.of_examples(examples)
    assert found == {
        "right_genres": FeatureStatistics(4, 1, {"Comedy": 1, "Drama": 3, "Horror": 1}),
        "right_year": FeatureStatistics(4, 1, None),
        "right_title": FeatureStatistics(4, 0, None),
        "right_studio": FeatureStatistics(4, 0, {"A": 3, "B": 1}),
    }
    statistics.write(found, str(tmp_path))
    assert statistics.read(str(tmp_path)) == found


def test_without_features_there_are_no_statistics_of_them(tmp_path: Path) -> None:
    statistics.write({}, str(tmp_path))
    assert not list(tmp_path.iterdir())
    assert statistics.read(str(tmp_path)) == {}


def test_too_many_bad_rows_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataRefused, match=r"data.right_features: 3 of 7 rows are bad.*(\n.*)*year is not a number"):
        read(tmp_path, max_quarantined_fraction=0.4)


def test_a_missing_column_names_its_key(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"data\.right_features\.columns\.length: .*films.csv has no column 'length'"):
        read(tmp_path, columns={"length": {"kind": "number"}})


def test_lists_of_json_and_parquet_are_tags(tmp_path: Path) -> None:
    rows = [{"film": "x", "genres": ["a", "b"]}, {"film": "y", "genres": []}, {"film": "z", "genres": None}]
    wanted = [[b"a", b"b"], None, None]
    columns = {"genres": {"kind": "tags"}}
    (tmp_path / "json").mkdir()
    text = "\n".join(map(json.dumps, rows))
    examples, _ = read(tmp_path / "json", text, "films.jsonl", columns=columns)
    table = read_table(examples, "right")
    assert table is not None and table["genres"].to_pylist() == wanted
    (tmp_path / "parquet").mkdir()
    pa.parquet.write_table(pa.Table.from_pylist(rows), tmp_path / "parquet" / "films.parquet")
    examples, _ = read(tmp_path / "parquet", "", "films.parquet", columns=columns)
    table = read_table(examples, "right")
    assert table is not None and table["genres"].to_pylist() == wanted


def test_features_are_encoded_as_by_hand(tmp_path: Path) -> None:
    examples, _ = read(tmp_path)
    columns = columns_of(COLUMNS)
    entity_features.analyze(examples, "right", columns, str(tmp_path), beam.Pipeline)
    encoder = FeatureEncoder(graph_folder(str(tmp_path), "right"), columns)
    table = read_table(examples, "right")
    assert table is not None
    matrix = encoder.matrix(table).toarray()
    # Statistics are those of x, y and z. The words of x are the, x and film.
    known = {"genres": {"comedy", "drama"}, "title": {"the", "x", "film", "zed", "y"}, "studio": {"a"}}
    assert matrix.shape[1] == sum(map(len, known.values())) + 1 + 1
    half, third = 2**-0.5, 3**-0.5
    z_of_year = (np.array([1990, 2001, 2000]) - 1995) / 5
    expected = [
        [half, half, third, third, third, 1, z_of_year[0], 1],  # genres, title, studio, year, constant
        [third, third, third, 1],
        [1, 1, z_of_year[1], 1],  # Horror, New and one are unknown
        [1, half, half, 1, z_of_year[2], 1],
    ]
    for row, numbers in zip(matrix, expected, strict=True):
        assert math.isclose(sum(row), sum(numbers), abs_tol=1e-5)
        np.testing.assert_allclose(np.sort(row[row != 0]), np.sort(numbers), atol=1e-5)


def test_entities_without_pairs_come_last_in_the_vocabulary(tmp_path: Path) -> None:
    examples, _ = read(tmp_path)
    tokens = Vocabulary(examples, ("right",)).tokens().to_pylist()
    assert set(tokens[:-1]) == {b"x", b"y", b"z", b"w"}
    assert tokens[-1] == b"cold"
    assert b"cold" not in Vocabulary(examples, ("left",)).tokens().to_pylist()
