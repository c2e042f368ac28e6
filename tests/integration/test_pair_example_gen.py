"""What the whole of PairExampleGen promises: splits, duplicates, the quarantine of a refused run, TFX's spans."""

from __future__ import annotations

import gzip
import random
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from tfx.components.statistics_gen.component import StatisticsGen
from tfx.orchestration import metadata
from tfx.orchestration.local.local_dag_runner import LocalDagRunner
from tfx.orchestration.pipeline import Pipeline

from components.pair_example_gen import arrival, stages
from components.pair_example_gen.component import PairExampleGen
from components.pair_example_gen.source import check_span, find_files, split_path
from components.pair_example_gen.suspicious import warning
from errors import DataRefused, InputError
from pipeline.beam import profiles
from pipeline.config.sections.beam import Beam
from tests import written_examples
from tests.integration.ingesting import NAMES, ingest, layout, read_quarantine, settings
from trainer.data.examples import Examples

FULL = layout(left="left", right="right", score="score", weight="weight", time="time")


def write_csv(path: Path, rows: list[tuple[object, ...]], header: str = "left,right,score,weight,time") -> Path:
    lines = [header, *(",".join(map(str, row)) for row in rows)]
    path.write_text("\n".join(lines) + "\n")
    return path


def made_rows(count: int = 400) -> list[tuple[object, ...]]:
    draw = random.Random(5)
    return [
        (
            f"l{draw.randrange(20)}",
            f"r{draw.randrange(15)}",
            draw.randrange(5),
            draw.randrange(1, 4),
            draw.randrange(100),
        )
        for _ in range(count)
    ]


@pytest.mark.parametrize("changes", [{}, {"split_by": "left"}, {"split_by": "time"}, {"duplicates": "mean"}])
def test_the_split_does_not_depend_on_files_nor_order(tmp_path: Path, changes: dict[str, str]) -> None:
    rows = made_rows()
    whole = ingest(write_csv(tmp_path / "pairs.csv", rows), tmp_path / "whole", settings(FULL, **changes))
    random.Random(6).shuffle(rows)
    (tmp_path / "parts").mkdir()
    for number in range(3):
        write_csv(tmp_path / "parts" / f"{number}.csv", rows[number::3])
    parts = ingest(tmp_path / "parts", tmp_path / "cut", settings(FULL, **changes))
    assert sorted(whole.train) == sorted(parts.train)
    assert sorted(whole.eval) == sorted(parts.eval)
    assert whole.train and whole.eval
    assert not {row[:2] for row in whole.train} & {row[:2] for row in whole.eval}


def test_arrival_accounts_for_every_file_and_row(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    (folder / "date=1").mkdir(parents=True)
    first = write_csv(folder / "date=1" / "a.csv", [("a", "b", 1), ("c", "d", "x")], "left,right,score")
    packed = folder / "b.csv.gz"
    packed.write_bytes(gzip.compress(b"left,right,score\ne,f,1\n"))
    (folder / "empty.csv").touch()
    ingest(folder, tmp_path / "out", settings(NAMES), inline=True)
    arrived = arrival.read(str(tmp_path / "out" / "examples" / "1"))
    assert arrived is not None
    size = first.stat().st_size + packed.stat().st_size
    assert (arrived.files, arrived.bytes, arrived.rows) == (2, size, 3)
    assert [(skip.path, skip.reason) for skip in arrived.skipped] == [(str(folder / "empty.csv"), "empty")]
    assert arrived.recognized == {"gzip compression": 1}


def test_by_left_an_entity_is_on_one_side(tmp_path: Path) -> None:
    found = ingest(write_csv(tmp_path / "pairs.csv", made_rows()), tmp_path / "out", settings(FULL, split_by="left"))
    assert not {row[0] for row in found.train} & {row[0] for row in found.eval}


def test_by_time_the_newest_rows_are_evaluated(tmp_path: Path) -> None:
    rows = [(f"l{time}", "r", 1, 1, time) for time in range(100)]
    wanted = settings(FULL, split_by="time", eval_fraction=0.1)
    found = ingest(write_csv(tmp_path / "pairs.csv", rows), tmp_path / "out", wanted)
    assert {row[0] for row in found.eval} == {f"l{time}".encode() for time in range(90, 100)}
    assert len(found.train) == 90


def test_by_time_dates_do_as_well(tmp_path: Path) -> None:
    rows = [(f"l{day}", "r", 1, 1, f"2020-01-{day:02}T00:00:00{'Z' if day % 2 else ''}") for day in range(1, 21)]
    wanted = settings(FULL, split_by="time", eval_fraction=0.1)
    found = ingest(write_csv(tmp_path / "pairs.csv", rows), tmp_path / "out", wanted)
    assert {row[0] for row in found.eval} == {b"l19", b"l20"}


def test_by_time_equal_times_and_repeated_pairs_stay_together(tmp_path: Path) -> None:
    rows = [
        ("old", "r", 1, 1, 1),
        ("old", "r", 2, 1, 9),
        *((f"l{n}", "r", 1, 1, 5) for n in range(4)),
        ("new", "r", 1, 1, 9),
    ]
    wanted = settings(FULL, split_by="time", eval_fraction=0.1)
    found = ingest(write_csv(tmp_path / "pairs.csv", rows), tmp_path / "out", wanted)
    assert Counter(row[0] for row in found.eval) == {b"old": 2, b"new": 1}
    assert len(found.train) == 4


def test_by_time_one_time_cannot_be_split(tmp_path: Path) -> None:
    rows = [(f"l{n}", "r", 1, 1, 5) for n in range(4)]
    with pytest.raises(DataRefused, match=r"data\.split: by time"):
        ingest(write_csv(tmp_path / "pairs.csv", rows), tmp_path / "out", settings(FULL, split_by="time"))


@pytest.mark.parametrize("parts", [1, 7])
def test_duplicates(tmp_path: Path, parts: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("components.pair_example_gen.spill.count_parts", lambda sizes: parts)
    (tmp_path / "in").mkdir()
    header = "left,right,score,weight"
    weighted = layout(left="left", right="right", score="score", weight="weight")
    write_csv(tmp_path / "in" / "a.csv", [("a", "b", 1, 1), ("c", "d", 5, 1), ("ab", "c", 1, 1)], header)
    write_csv(tmp_path / "in" / "b.csv", [("a", "b", 4, 2), ("c", "d", 7, 1), ("a", "bc", 2, 1)], header)
    others = [(b"a", b"bc", 2.0, 1.0), (b"ab", b"c", 1.0, 1.0)]
    keep, last, mean = (
        ingest(tmp_path / "in", tmp_path / policy, settings(weighted, duplicates=policy)).rows
        for policy in ("keep", "last", "mean")
    )
    assert len(keep) == 6
    assert last == sorted([(b"a", b"b", 4.0, 2.0), (b"c", b"d", 7.0, 1.0), *others])
    assert mean == sorted([(b"a", b"b", 3.0, 3.0), (b"c", b"d", 6.0, 2.0), *others])
    with pytest.raises(DataRefused, match="2 pairs have more than one row") as refusal:
        ingest(tmp_path / "in", tmp_path / "refuse", settings(weighted, duplicates="refuse"))
    assert "b'a', b'b': " in str(refusal.value)
    assert "b.csv, line 2" in str(refusal.value)


@pytest.mark.parametrize("split_by", ["pair", "time"])
def test_distinct_pairs_are_not_refused(tmp_path: Path, split_by: str) -> None:
    rows = [(f"l{time}", "r", 1, 2, time) for time in range(20)]
    wanted = settings(FULL, duplicates="refuse", split_by=split_by)
    found = ingest(write_csv(tmp_path / "pairs.csv", rows), tmp_path / "out", wanted, inline=True)
    assert found.rows == sorted((f"l{time}".encode(), b"r", 1.0, 2.0) for time in range(20))


def test_last_is_the_newest_where_there_is_a_time(tmp_path: Path) -> None:
    rows = [("a", "b", 1, 1, 9), ("a", "b", 2, 1, 3)]
    found = ingest(write_csv(tmp_path / "pairs.csv", rows), tmp_path / "out", settings(FULL, duplicates="last"))
    assert found.rows == [(b"a", b"b", 1.0, 1.0)]


def test_many_chunks_keep_line_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("components.pair_example_gen.reading.chunks.CHUNK_BYTES", 64)
    rows: list[tuple[object, ...]] = [(f'"l{n}"', f"r{n}", "x" if n % 50 == 7 else n) for n in range(500)]
    found = ingest(write_csv(tmp_path / "pairs.csv", rows, "left,right,score"), tmp_path / "out", settings(NAMES))
    assert [row["line"] for row in found.bad] == [n + 2 for n in range(500) if n % 50 == 7]
    assert len(list((tmp_path / "out" / "examples" / "1" / "Split-train").iterdir())) > 50


def test_a_file_that_grows_while_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write_csv(tmp_path / "pairs.csv", [("a", "b", 1), ("c", "d", 1)], "left,right,score")

    def write_more(*_: object) -> None:
        with file.open("a") as out:
            out.write("e,f,1\n")

    original = stages.ReadChunk._read
    monkeypatch.setattr(stages.ReadChunk, "_read", lambda self, *given: (write_more(), original(self, *given)))
    with pytest.raises(InputError, match="changed while it was read"):
        ingest(file, tmp_path / "out", settings(NAMES))


def graph(root: Path, path: str, **changes: object) -> Pipeline:
    node = PairExampleGen.of(settings(NAMES, path=path, **changes))
    return Pipeline(
        pipeline_name="ingest",
        pipeline_root=str(root),
        components=[node, StatisticsGen(examples=node.outputs["examples"])],
        metadata_connection_config=metadata.sqlite_metadata_connection_config(str(root / "metadata.sqlite")),
        beam_pipeline_args=profiles.options(Beam()),
        enable_cache=True,
    )


def test_the_quarantine_of_a_refused_run_survives_it(tmp_path: Path) -> None:
    rows = [("a", "b", 1)] * 3 + [("a", "b", "bad")] * 5
    path = write_csv(tmp_path / "pairs.csv", rows, "left,right,score")
    with pytest.raises(DataRefused, match="5 x score is not a number") as refusal:
        LocalDagRunner().run(graph(tmp_path, str(path), max_quarantined_fraction=0.5))
    kept = str(refusal.value).split("All of them are in ")[1].split(" (Parquet)")[0]
    assert [row["line"] for row in read_quarantine(Path(kept))] == [5, 6, 7, 8, 9]
    assert not (tmp_path / "PairExampleGen" / "quarantine" / "1").exists()


@pytest.mark.parametrize(
    ("pattern", "folders"),
    [
        ("span-{SPAN}/*", ["span-1", "span-2", "span-10"]),
        ("{YYYY}-{MM}-{DD}/*.csv", ["2023-01-31", "2024-01-01", "2023-12-31"]),
    ],
)
def test_the_latest_span_is_read(tmp_path: Path, pattern: str, folders: list[str]) -> None:
    for number, folder in enumerate(folders):
        (tmp_path / "in" / folder).mkdir(parents=True)
        write_csv(tmp_path / "in" / folder / "p.csv", [(folder, f"r{number}", 1)] * 4, "left,right,score")
    check_span(*split_path(str(tmp_path / "in" / pattern)))
    LocalDagRunner().run(graph(tmp_path / "root", str(tmp_path / "in" / pattern)))
    latest = max(folders, key=lambda name: [int(part) for part in name.removeprefix("span-").split("-")])
    (examples,) = (tmp_path / "root" / "PairExampleGen" / "examples").iterdir()
    rows = written_examples.read(Examples(str(examples)))
    assert {row[0] for split in rows.values() for row in split} == {latest.encode()}


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        ("span-{SPAN}/*", "span-x/p.csv has no number"),
        ("{SPAN}-{SPAN}/*", "a pattern needs one {SPAN}"),
        ("{YYYY}/{MM}/*", "a pattern needs one {SPAN}"),
        ("day-{SPAN}/*", "no file matches"),
    ],
)
def test_spans_that_tfx_would_refuse_with_a_traceback(tmp_path: Path, pattern: str, words: str) -> None:
    (tmp_path / "span-x").mkdir()
    write_csv(tmp_path / "span-x" / "p.csv", [("a", "b", 1)], "left,right,score")
    with pytest.raises(InputError, match=words):
        check_span(*split_path(str(tmp_path / pattern)))


def test_a_span_with_zeros_that_the_pattern_leaves_out(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"write {SPAN:2}"):
        find_files(str(tmp_path), "span-1/*", span_filled_in=True)


@pytest.mark.parametrize("split_by", ["pair", "time"])
def test_values_that_look_wrong_are_kept_and_reported(tmp_path: Path, split_by: str) -> None:
    rows = [
        *made_rows(),
        ("NA", "r1", 3, 1, 5),
        ("l1", "NA", 3, 1, 1_700_000_000),
        ("l1", "r1", 3, 1, 1_700_000_000_000),
    ]
    found = ingest(write_csv(tmp_path / "pairs.csv", rows), tmp_path / "out", settings(FULL, split_by=split_by))
    assert len(found.train) + len(found.eval) == len(rows)
    (examples,) = (tmp_path / "out" / "examples").iterdir()
    warned = [(warning.kind, warning.column, warning.count) for warning in warning.read(str(examples))]
    assert warned == [
        ("missing_words", "data.columns.left", 1),
        ("missing_words", "data.columns.right", 1),
        ("time_units", "data.columns.time", 1),
    ]


def _write_spans(folder: Path, numbers: Sequence[int]) -> str:
    """Writes four rows for each span, and returns the pattern."""
    for number in numbers:
        (folder / f"span-{number}").mkdir(parents=True)
        rows = [(f"l{number}", f"r{row}", number) for row in range(4)]
        write_csv(folder / f"span-{number}" / "p.csv", rows, "left,right,score")
    return str(folder / "span-{SPAN}" / "*")


def _executions(root: Path) -> list[Path]:
    return sorted((root / "PairExampleGen" / "examples").iterdir(), key=lambda path: int(path.name))


def test_several_spans_with_weights_by_age(tmp_path: Path) -> None:
    pattern, root = _write_spans(tmp_path / "in", [1, 2, 4, 5]), tmp_path / "root"
    wanted = {"spans": {"latest": 3, "last": 5}, "age_weight": {"half_life": 2, "by": "span"}}
    LocalDagRunner().run(graph(root, pattern, **wanted))
    rows = written_examples.read(Examples(str(_executions(root)[0])))
    # The oracle: half of the weight for every two spans before span 5.
    expected = {(f"l{n}".encode(), f"r{row}".encode(), n, 0.5 ** ((5 - n) / 2)) for n in (2, 4, 5) for row in range(4)}
    found = {row for split in rows.values() for row in split}
    assert {row[:3] for row in found} == {row[:3] for row in expected}
    assert sorted(row[3] for row in found) == pytest.approx(sorted(row[3] for row in expected))
    # A span after the last one changes nothing, so the result comes from the cache. Another file of a span does.
    _write_spans(tmp_path / "in", [6])
    LocalDagRunner().run(graph(root, pattern, **wanted))
    assert len(_executions(root)) == 1
    write_csv(tmp_path / "in" / "span-2" / "more.csv", [("new", "r", 1)], "left,right,score")
    LocalDagRunner().run(graph(root, pattern, **wanted))
    assert Examples(str(_executions(root)[-1])).left.ids.to_pylist().count(b"new") == 1


@pytest.mark.parametrize("changes", [{}, {"split_by": "time"}, {"duplicates": "last"}, {"duplicates": "mean"}], ids=str)
def test_weights_by_time(tmp_path: Path, changes: dict[str, Any]) -> None:
    rows = [(f"l{row % 7}", f"r{row}", 3, 1 + row % 2, 100 * row) for row in range(40)]
    path = write_csv(tmp_path / "pairs.csv", rows)
    wanted = settings(FULL, age_weight={"half_life": 1000, "by": "time"}, **changes)
    found = ingest(path, tmp_path / "out", wanted, inline=True)
    weights = {row[1].decode(): row[3] for row in found.rows}
    assert weights == pytest.approx({right: weight * 0.5 ** ((3900 - at) / 1000) for _, right, _, weight, at in rows})


def test_weights_by_age_without_a_column_of_weights(tmp_path: Path) -> None:
    rows = [("a", "x", 1, 0), ("a", "x", 4, 10), ("b", "y", 2, 10)]
    path = write_csv(tmp_path / "pairs.csv", rows, "left,right,score,time")
    timed = layout(left="left", right="right", score="score", time="time")
    wanted = settings(timed, age_weight={"half_life": 10, "by": "time"}, duplicates="mean")
    found = ingest(path, tmp_path / "out", wanted, inline=True)
    # The mean of 1 with weight 1/2 and 4 with weight 1.
    assert found.rows == [(b"a", b"x", 3.0, 1.5), (b"b", b"y", 2.0, 1.0)]
