"""`kindred recommend` and `kindred score --input` give the answers of the signatures, for many queries."""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.batch_lists import ranking as lists
from components.batch_lists.seen import SeenPairs
from pipeline import cli
from pipeline.commands.seen import partners
from serving.local_model import LocalModel
from tests.unit.trainer.planted_model import LEFT, RIGHT, Planted

pytestmark = pytest.mark.tensorflow


@pytest.fixture(scope="module")
def model(planted: Planted) -> LocalModel:
    return LocalModel(planted.model)


@pytest.fixture
def kindred(planted: Planted, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Runs a command with the planted model. Returns its exit code and stderr."""

    def run(command: str, *arguments: object) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["kindred", command, "--model", str(planted.model), *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return int(ended.value.code or 0), capsys.readouterr().err

    return run


def _pairs(path: Path, *pairs: tuple[bytes, bytes]) -> Path:
    path.parent.mkdir(exist_ok=True)
    with open(path, "wb") as file:
        file.write(b"\n".join(b",".join(pair) for pair in ((b"left_id", b"right_id"), *pairs)) + b"\n")
    return path


def _lists(path: Path, query: str = "left_id", answer: str = "right_id") -> dict[bytes, list[tuple[bytes, float]]]:
    rows = pa.parquet.read_table(path).to_pylist()
    found: dict[bytes, list[tuple[bytes, float]]] = {}
    for row in rows:
        names = [value if isinstance(value, bytes) else value.encode() for value in (row[query], row[answer])]
        ranking = found.setdefault(names[0], [])
        ranking.append((names[1], row["score"]))
        assert row["rank"] == len(ranking)
    return found


def test_each_list_is_that_of_the_signature(kindred: Any, model: LocalModel, tmp_path: Path) -> None:
    output = tmp_path / "lists.parquet"
    code, err = kindred("recommend", "--output", output, "-k", 3)
    assert code == 0 and f"{len(LEFT)} lists" in err
    found = _lists(output)
    assert list(found) == LEFT
    for query, ranking in found.items():
        expected, _ = model.similar("right", query, 3)
        assert [name for name, _ in ranking] == [one.id for one in expected]
        assert [score for _, score in ranking] == pytest.approx([one.score for one in expected], abs=1e-6)


@pytest.mark.parametrize("answers", [1, 1 << 19])
def test_seen_partners_are_left_out(
    kindred: Any, model: LocalModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answers: int
) -> None:
    monkeypatch.setattr(lists, "_ANSWERS", answers)
    seen = {LEFT[0]: RIGHT[:4], LEFT[1]: RIGHT, LEFT[3]: [RIGHT[2]]}
    rows = [(left, right) for left, partners in seen.items() for right in partners]
    file = _pairs(tmp_path / "seen.csv", *rows, rows[0], (b"never seen", RIGHT[0]), (LEFT[2], b"never seen"))
    output = tmp_path / "lists.parquet"
    code, err = kindred("recommend", "--output", output, "-k", 3, "--exclude-seen", file)
    assert code == 0, err
    found = _lists(output)
    for query in LEFT:
        expected, _ = model.similar("right", query, 3, exclude=seen.get(query, ()))
        assert [name for name, _ in found.get(query, [])] == [one.id for one in expected]
    assert LEFT[1] not in found, "it has seen everything"


def test_seen_pairs_come_from_many_files(kindred: Any, model: LocalModel, tmp_path: Path) -> None:
    """One file a day, and a row without an id, which a run quarantines."""
    _pairs(tmp_path / "days" / "day-2026-01-01.csv", (LEFT[0], RIGHT[0]), (b"", RIGHT[0]))
    _pairs(tmp_path / "days" / "day-2026-01-02.csv", (LEFT[0], RIGHT[1]))
    output = tmp_path / "lists.parquet"
    expected = [one.id for one in model.similar("right", LEFT[0], 2, exclude=RIGHT[:2])[0]]
    for seen in ("days", "days/*.csv", "days/day-{YYYY}-{MM}-{DD}.csv"):
        code, err = kindred("recommend", "--output", output, "-k", 2, "--exclude-seen", tmp_path / seen)
        assert code == 0, err
        assert [name for name, _ in _lists(output)[LEFT[0]]] == expected
    found = partners(str(tmp_path / "days"), "left_id,right_id", "right", LEFT[0])
    assert found == sorted(RIGHT[:2])


def test_more_answers_than_entities_are_all_of_them(kindred: Any, tmp_path: Path) -> None:
    output = tmp_path / "lists.parquet"
    code, err = kindred("recommend", "--output", output, "-k", 10**12)
    assert code == 0, err
    assert {len(ranking) for ranking in _lists(output).values()} == {len(RIGHT)}


def test_other_side_and_neighbors(kindred: Any, model: LocalModel, tmp_path: Path) -> None:
    output = tmp_path / "lists.parquet"
    assert kindred("recommend", "--output", output, "-k", 2, "--side", "left")[0] == 0
    for query, ranking in _lists(output, "right_id", "left_id").items():
        assert [name for name, _ in ranking] == [one.id for one in model.similar("left", query, 2)[0]]
    assert kindred("recommend", "--output", output, "-k", 2, "--side", "left", "--neighbors")[0] == 0
    for query, ranking in _lists(output, "query_id", "neighbor_id").items():
        assert [name for name, _ in ranking] == [one.id for one in model.neighbors("left", query, 2)[0]]


def test_lists_for_the_ids_of_a_file(kindred: Any, tmp_path: Path) -> None:
    output = tmp_path / "lists.parquet"
    ids = tmp_path / "ids.txt"
    ids.write_bytes(b"\n".join([LEFT[2], b"never seen", LEFT[0], LEFT[2]]) + b"\n\n")
    code, err = kindred("recommend", "--output", output, "--for", ids)
    assert code == 0 and "1 id is not in the model" in err
    assert list(_lists(output)) == [LEFT[2], LEFT[0]]
    pairs = _pairs(tmp_path / "pairs.csv", (LEFT[3], b"x"), (LEFT[1], b"y"), (LEFT[3], b"z"))
    assert kindred("recommend", "--output", output, "--for", pairs)[0] == 0
    assert list(_lists(output)) == [LEFT[3], LEFT[1]]


def test_formats_have_the_same_rows(kindred: Any, tmp_path: Path) -> None:
    for ending in ("parquet", "csv", "jsonl"):
        assert kindred("recommend", "--output", tmp_path / f"lists.{ending}", "-k", 2)[0] == 0
    expected = pa.parquet.read_table(tmp_path / "lists.parquet").to_pylist()
    lines = [json.loads(line) for line in (tmp_path / "lists.jsonl").read_text().splitlines()]
    with open(tmp_path / "lists.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(expected) == len(lines) == len(rows) == 2 * len(LEFT)
    for row, line, cells in zip(expected, lines, rows, strict=True):
        ids = [value if isinstance(value, str) else value.decode() for value in (row["left_id"], row["right_id"])]
        assert ids == [line["left_id"], line["right_id"]] == [cells["left_id"], cells["right_id"]]
        assert line["score"] == pytest.approx(row["score"]) == pytest.approx(float(cells["score"]))


def test_scores_of_a_file_keep_its_order(kindred: Any, model: LocalModel, tmp_path: Path) -> None:
    rows = [(LEFT[3], RIGHT[1]), (LEFT[0], RIGHT[0]), (b"never seen", RIGHT[2]), (LEFT[0], RIGHT[0])]
    output = tmp_path / "scores.parquet"
    code, err = kindred("score", "--input", _pairs(tmp_path / "pairs.csv", *rows), "--output", output)
    assert code == 0 and "4 pairs" in err and "1 pair has an unknown id" in err
    found = pa.parquet.read_table(output).to_pylist()
    for row, (left, right) in zip(found, rows, strict=True):
        expected = model.score(left, right)
        assert row["score"] == pytest.approx(expected.score, abs=1e-6)
        assert row["value"] == pytest.approx(expected.value, rel=1e-5)
        assert (row["left_known"], row["right_known"]) == (expected.left_known, expected.right_known)
        assert (row["left_id"], row["right_id"]) == (left.decode(), right.decode())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["recommend", "--output", "x.txt"], "must end in one of .csv, .jsonl, .parquet"),
        (["recommend", "--output", "missing/x.csv"], "the folder missing does not exist"),
        (["recommend", "--output", "x.csv", "--for", "missing.csv"], "--for missing.csv: no such file"),
        (["recommend", "--output", "x.csv", "--for", "unknown.txt"], "the model knows none"),
        (["recommend", "--output", "x.csv", "--exclude-seen", "no.csv"], "--exclude-seen no.csv: no such file"),
        (["recommend", "--output", "x.csv", "--neighbors", "--exclude-seen", "a.csv"], "no effect with --neighbors"),
        (["score", "--input", "no.csv", "--output", "x.csv"], "--input no.csv: no such file"),
        (["score", "--input", "gap.csv", "--output", "x.csv"], "row 2 has no id in column right_id"),
        (["score", "--input", "gap.csv", "--output", "x.csv", "--columns", "a,b"], "--columns LEFT,RIGHT"),
    ],
)
def test_mistake_is_a_sentence_and_leaves_no_file(
    kindred: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "unknown.txt").write_text("nobody\n")
    (tmp_path / "gap.csv").write_text("left_id,right_id\na,b\nc,\n")
    before = sorted(tmp_path.iterdir())
    code, err = kindred(*arguments)
    assert code == 2 and words in err, err
    assert sorted(tmp_path.iterdir()) == before


def test_failure_keeps_an_earlier_file(kindred: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    output = tmp_path / "lists.csv"
    output.write_text("earlier")

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(lists, "_table", fail)
    code, err = kindred("recommend", "--output", output)
    assert code == 2 and "No space left on device" in err
    assert [path.read_text() for path in tmp_path.iterdir()] == ["earlier"]


@given(st.data())
def test_mask_marks_exactly_the_seen_answers(data: st.DataObject) -> None:
    queries, partners = data.draw(st.integers(1, 6)), data.draw(st.integers(1, 6))
    pair = st.tuples(st.integers(0, queries), st.integers(0, partners))
    seen = data.draw(st.lists(pair, max_size=20))
    tables = [pa.array([str(n).encode() for n in range(count)], pa.binary()) for count in (queries, partners)]
    columns = [pa.array([str(row[side]).encode() for row in seen], pa.binary()) for side in (0, 1)]
    found = SeenPairs.of_ids([(columns[0], columns[1])], *tables)
    rows = np.array(data.draw(st.lists(st.integers(0, queries - 1), max_size=5)), np.int64)
    answers = np.array(
        data.draw(st.lists(st.integers(-1, partners - 1), min_size=4 * len(rows), max_size=4 * len(rows)))
    )
    answers = answers.reshape(len(rows), 4).astype(np.int64)
    expected = [[(int(row), int(one)) in set(seen) for one in line] for row, line in zip(rows, answers, strict=True)]
    assert found.mask(rows, answers).tolist() == expected
    assert found.counts(rows).tolist() == [len({p for q, p in set(seen) if q == row and p < partners}) for row in rows]
