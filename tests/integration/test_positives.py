"""Pairs without a score, from files of every format to the splits, the statistics and a gate that asks for no score."""

from __future__ import annotations

from pathlib import Path

import pytest

from components.data_gate.executor import _first_rows
from components.data_gate.rules import RowFilter
from components.pair_statistics import distribution
from errors import DataRefused
from tests.integration.ingesting import example, ingest, layout, settings, write_parquet, write_tfrecord
from trainer.data.examples import Examples

pytestmark = pytest.mark.tensorflow

POSITIVES = layout(left="left", right="right")
WEIGHTED = layout(left="left", right="right", weight="weight", time="time")
ROWS = [(f"l{i % 7}", f"r{i % 5}") for i in range(35)]


def _write(folder: Path, kind: str) -> Path:
    """ROWS and a bad row; the files also hold a score that nobody asked for."""
    rows = [*ROWS, ("", "r")]
    path = folder / f"pairs.{kind}"
    left, right = zip(*rows, strict=True)
    if kind == "parquet":
        write_parquet(path, {"left": left, "right": right, "score": ["none"] * len(rows)})
    elif kind == "tfrecord":
        write_tfrecord(path, [example(left=[a.encode()], right=[b.encode()], score=[b"none"]) for a, b in rows])
    else:
        mark = "," if kind == "csv" else "\t"
        lines = [mark.join(row) for row in (("left", "right", "score"), *((a, b, "none") for a, b in rows))]
        path.write_text("\n".join(lines) + "\n")
    return path


@pytest.mark.parametrize("kind", ["csv", "tsv", "parquet", "tfrecord"])
def test_every_format_is_read_without_a_score(tmp_path: Path, kind: str) -> None:
    found = ingest(_write(tmp_path, kind), tmp_path / "out", settings(POSITIVES), inline=True)
    assert found.rows == sorted((a.encode(), b.encode()) for a, b in ROWS)
    assert [row["reason"] for row in found.bad] == ["left id is empty"]
    assert found.train and found.eval
    examples = str(tmp_path / "out" / "examples" / "1")
    counted = distribution.of_split(Examples(examples), "train")
    assert (counted.rows, counted.has_scores) == (len(found.train), False)
    (shown,) = _first_rows(examples, RowFilter("eval"))[:1]
    assert shown == [repr(value.decode()) for value in found.eval[0]]


def _weighted(folder: Path) -> Path:
    path = folder / "pairs.csv"
    rows = [f"a,x,{weight},{time}" for weight, time in ((1, 5), (2, 9), (3, 7))]
    path.write_text("\n".join(["left,right,weight,time", *rows, "b,y,1,1", "c,z,1,2"]) + "\n")
    return path


def test_of_repeated_pairs_the_last_is_kept_with_its_weight(tmp_path: Path) -> None:
    found = ingest(_weighted(tmp_path), tmp_path / "out", settings(WEIGHTED, duplicates="last"), inline=True)
    assert found.rows == [(b"a", b"x", 2.0), (b"b", b"y", 1.0), (b"c", b"z", 1.0)]


def test_all_are_kept_and_the_newest_evaluated(tmp_path: Path) -> None:
    wanted = settings(WEIGHTED, split_by="time", eval_fraction=0.5)
    found = ingest(_weighted(tmp_path), tmp_path / "out", wanted, inline=True)
    assert sorted(found.eval) == [(b"a", b"x", 1.0), (b"a", b"x", 2.0), (b"a", b"x", 3.0)]
    assert len(found.train) == 2


def test_repeated_pairs_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataRefused, match="1 pairs have more than one row"):
        ingest(_weighted(tmp_path), tmp_path / "out", settings(WEIGHTED, duplicates="refuse"), inline=True)
