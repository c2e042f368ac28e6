"""What decides where a row goes: its pair in any direction, its weight, and the fold that it names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from errors import DataRefused
from tests.integration.ingesting import example, ingest, layout, settings, write_parquet, write_tfrecord

pytestmark = pytest.mark.tensorflow

TIMED = layout(left="left", right="right", score="score", time="time")
WEIGHTED = layout(left="left", right="right", score="score", weight="weight", time="time")
FOLDS = layout(left="left", right="right", fold="fold")


def _write(path: Path, header: str, rows: list[tuple[Any, ...]]) -> Path:
    path.write_text("\n".join([header, *(",".join(map(str, row)) for row in rows)]) + "\n")
    return path


def _mirrored(count: int = 300) -> list[tuple[str, str, float, int]]:
    """Distinct pairs of 40 entities, each in both directions, at different times."""
    draw = np.random.default_rng(1)
    pairs = sorted({tuple(sorted(pair)) for pair in draw.integers(0, 40, (count, 2)).tolist()})
    there = [(f"e{a}", f"e{b}", float(draw.normal()), int(draw.integers(1000))) for a, b in pairs]
    return [*there, *((b, a, score + 1, int(draw.integers(1000))) for a, b, score, _ in there)]


@pytest.mark.parametrize("by", ["pair", "left", "right", "time"])
@pytest.mark.parametrize("duplicates", ["keep", "last"])
def test_both_directions_of_a_pair_are_on_one_side(tmp_path: Path, by: str, duplicates: str) -> None:
    path = _write(tmp_path / "pairs.csv", "left,right,score,time", _mirrored())
    wanted = settings(TIMED, split_by=by, duplicates=duplicates, unordered=True)
    found = ingest(path, tmp_path / "out", wanted, inline=True)
    train, held = ({frozenset(row[:2]) for row in rows} for rows in (found.train, found.eval))
    assert train and held and not train & held
    pairs = {frozenset(row[:2]) for row in _mirrored()}
    assert len(found.rows) == (len(_mirrored()) if duplicates == "keep" else len(pairs))


def test_mean_merges_both_directions(tmp_path: Path) -> None:
    rows = [("b", "a", 1, 5), ("a", "b", 3, 4), ("c", "a", 7, 1)]
    path = _write(tmp_path / "pairs.csv", "left,right,score,time", rows)
    found = ingest(path, tmp_path / "out", settings(TIMED, duplicates="mean", unordered=True), inline=True)
    assert found.rows == [(b"a", b"b", 2.0), (b"a", b"c", 7.0)]


def test_both_directions_are_refused_as_repeated(tmp_path: Path) -> None:
    path = _write(tmp_path / "pairs.csv", "left,right,score,time", [("a", "b", 1, 5), ("b", "a", 3, 4)])
    wanted = settings(TIMED, duplicates="refuse", unordered=True)
    with pytest.raises(DataRefused, match=r"1 pairs have more than one row \(with encode.shared"):
        ingest(path, tmp_path / "out", wanted, inline=True)
    ordered = settings(TIMED, duplicates="refuse")
    assert len(ingest(path, tmp_path / "ordered", ordered, inline=True).rows) == 2


@pytest.mark.parametrize("changes", [{}, {"duplicates": "last"}, {"duplicates": "mean"}, {"split_by": "time"}])
def test_row_of_weight_zero_is_as_if_left_out(tmp_path: Path, changes: dict[str, Any]) -> None:
    draw = np.random.default_rng(3)
    rows = [(f"u{i % 9}", f"f{i % 7}", i, int(draw.integers(0, 3)), int(draw.integers(99))) for i in range(80)]
    # An entity that only rows of weight 0 have is not known.
    rows.append(("only here", "f1", 1, 0, 5))
    header = "left,right,score,weight,time"
    wanted = settings(WEIGHTED, **changes)
    found = ingest(_write(tmp_path / "all.csv", header, rows), tmp_path / "all", wanted, inline=True)
    kept = [row for row in rows if row[3]]
    without = ingest(_write(tmp_path / "kept.csv", header, kept), tmp_path / "kept", wanted, inline=True)
    assert (found.train, found.eval) == (without.train, without.eval)
    for name in ("left", "right"):
        files = (tmp_path / run / "examples" / "1" / "entities" / f"{name}.arrow" for run in ("all", "kept"))
        assert len({file.read_bytes() for file in files}) == 1
    assert found.properties["weightless"] == len(rows) - len(kept) and not without.properties["weightless"]
    assert found.properties["read"] == without.properties["read"] == len(kept)


@pytest.mark.parametrize("duplicates", ["keep", "last"])
def test_only_weights_of_zero_are_refused(tmp_path: Path, duplicates: str) -> None:
    rows = [(f"u{i}", f"f{i}", i, 0, i) for i in range(20)]
    path = _write(tmp_path / "pairs.csv", "left,right,score,weight,time", rows)
    with pytest.raises(DataRefused, match=r"data\.columns\.weight: All 20 rows have weight 0 in column 'weight'"):
        ingest(path, tmp_path / "out", settings(WEIGHTED, duplicates=duplicates), inline=True)


@pytest.mark.parametrize("duplicates", ["keep", "mean"])
@pytest.mark.parametrize("split", ["train", "eval"])
def test_only_weights_of_zero_in_one_split_are_refused(tmp_path: Path, split: str, duplicates: str) -> None:
    rows = [(f"u{i}", f"f{i}", i, 1, i) for i in range(60)]
    header, wanted = "left,right,score,weight,time", settings(WEIGHTED, duplicates=duplicates)
    whole = ingest(_write(tmp_path / "whole.csv", header, rows), tmp_path / "whole", wanted, inline=True)
    of_split = {row[0].decode() for row in getattr(whole, split)}
    rows = [(*row[:3], int(row[0] not in of_split), row[4]) for row in rows]
    message = f"All {len(of_split)} rows of the {split} split have weight 0 in column 'weight'"
    with pytest.raises(DataRefused, match=message):
        ingest(_write(tmp_path / "pairs.csv", header, rows), tmp_path / "out", wanted, inline=True)


def _folds(folder: Path, kind: str, folds: list[Any]) -> Path:
    path = folder / f"pairs.{kind}"
    left, right = [f"u{i}" for i in range(len(folds))], [f"f{i % 3}" for i in range(len(folds))]
    if kind == "parquet":
        write_parquet(path, {"left": left, "right": right, "fold": folds})
    elif kind == "tfrecord":
        values = [fold.encode() if isinstance(fold, str) else fold for fold in folds]
        records = zip(left, right, values, strict=True)
        write_tfrecord(path, [example(left=[a.encode()], right=[b.encode()], fold=[fold]) for a, b, fold in records])
    else:
        _write(path, "left,right,fold", list(zip(left, right, folds, strict=True)))
    return path


@pytest.mark.parametrize("kind", ["csv", "parquet", "tfrecord"])
@pytest.mark.parametrize(
    ("folds", "evaluated"),
    [
        (["train", "test", "dev"], ["test", "dev"]),
        ([0, 1, 2], [2]),
        ([False, True, False], [True]),
        ([0.0, 1.0, 2.0], [1, 2]),
    ],
)
@pytest.mark.parametrize("duplicates", ["keep", "last"])
def test_given_folds_are_the_eval_rows(
    tmp_path: Path, kind: str, folds: list[Any], evaluated: list[Any], duplicates: str
) -> None:
    of_rows = [folds[i % 3] for i in range(30)]
    if isinstance(folds[0], bool) and kind != "parquet":
        of_rows = [str(fold).lower() for fold in of_rows]
    if kind == "csv" and isinstance(folds[0], float):
        of_rows = [f"{fold:g}" for fold in of_rows]
    split = {"by": "column", "eval_folds": evaluated}
    wanted = settings(FOLDS, split=split, duplicates=duplicates)
    found = ingest(_folds(tmp_path, kind, of_rows), tmp_path / "out", wanted, inline=True)
    expected = {f"u{i}".encode() for i in range(30) if folds[i % 3] in evaluated}
    assert {row[0] for row in found.eval} == expected
    assert len(found.train) + len(found.eval) == 30


def test_row_without_a_fold_is_quarantined(tmp_path: Path) -> None:
    wanted = settings(FOLDS, split={"by": "column", "eval_folds": ["b"]})
    found = ingest(_folds(tmp_path, "csv", ["a", "b", ""]), tmp_path / "out", wanted, inline=True)
    assert [row["reason"] for row in found.bad] == ["fold is empty"]


@pytest.mark.parametrize(("evaluated", "split"), [(["c"], "eval"), (["a", "b"], "train")])
def test_folds_that_leave_a_split_empty_are_refused(tmp_path: Path, evaluated: list[str], split: str) -> None:
    wanted = settings(FOLDS, split={"by": "column", "eval_folds": evaluated})
    with pytest.raises(DataRefused, match=f"data.split.eval_folds: the {split} split has no rows"):
        ingest(_folds(tmp_path, "csv", ["a", "b", "a"]), tmp_path / "out", wanted, inline=True)
