"""Scores and times that look like a mistake, and ordinary ones without a warning."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
import pytest

from components.pair_example_gen.settings import IngestSettings
from components.pair_example_gen.suspicious.find import find
from components.pair_example_gen.suspicious.times import in_times
from components.pair_example_gen.suspicious.warning import DataWarning, read, write
from tests import written_examples

_STARS = [1.0, 2.0, 3.0, 4.0, 5.0]


def rows_with(score: Callable[[random.Random, int, int], float], count: int = 400) -> list[tuple[bytes, bytes, float]]:
    draw = random.Random(7)
    pairs = [(draw.randrange(40), draw.randrange(30)) for _ in range(count)]
    return [(b"u%d" % left, b"f%d" % right, score(draw, left, right)) for left, right in pairs]


def warned(folder: Path, score: Callable[[random.Random, int, int], float]) -> dict[str, DataWarning]:
    rows = rows_with(score)
    examples = written_examples.write(folder, rows[:350], rows[350:], per_shard=90)
    return {warning.kind: warning for warning in find(examples, IngestSettings(path="x"), 1)}


@pytest.mark.parametrize(
    "score",
    [
        lambda draw, left, right: draw.choice(_STARS),
        lambda draw, left, right: draw.choice([-1.0, 1.0]),
        lambda draw, left, right: draw.choice([-1.0, 0.0, 1.0]),
        lambda draw, left, right: draw.gauss(0, 1),
        lambda draw, left, right: draw.paretovariate(1),
        lambda draw, left, right: float(draw.randrange(-9, 100)),
    ],
    ids=["stars", "signs", "three signs", "normal", "play counts", "percent"],
)
def test_ordinary_scores_have_no_warning(tmp_path: Path, score: Callable) -> None:
    assert warned(tmp_path, score) == {}


@pytest.mark.parametrize("value", [-1.0, 99.0, 9999.0, -999.0])
def test_a_sentinel_far_from_all_scores_is_found(tmp_path: Path, value: float) -> None:
    def score(draw: random.Random, left: int, right: int) -> float:
        return value if right == 3 else draw.choice(_STARS)

    planted = sum(row[2] == value for row in rows_with(score))
    warning = warned(tmp_path, score)["sentinel_score"]
    assert planted > 1 and warning.count == planted
    assert all(example.endswith(f", {value:g})") for example in warning.examples) and len(warning.examples) == 3


def test_a_constant_score_is_found(tmp_path: Path) -> None:
    assert {kind: found.count for kind, found in warned(tmp_path, lambda *_: 1.0).items()} == {"constant_score": 400}


def test_a_score_that_depends_on_one_side_only_is_found(tmp_path: Path) -> None:
    found = warned(tmp_path / "left", lambda draw, left, right: float(left % 5))
    assert list(found) == ["score_of_left"]
    (example,) = found["score_of_left"].examples
    assert f"such as {example!r} with {int(example[1:]) % 5}" in found["score_of_left"].text
    assert list(warned(tmp_path / "right", lambda draw, left, right: right / 7)) == ["score_of_right"]
    # A tenth of the rows is enough to tell that the score is of pairs.
    noisy = warned(tmp_path / "noisy", lambda draw, left, right: left % 5 + (draw.random() < 0.1))
    assert noisy == {}


@pytest.mark.parametrize(
    ("times", "units"),
    [
        ([978300760.0, 1700000000.0], None),
        ([1.0, 2.0, 100.0], None),
        ([20240101.0, 20241231.0], None),
        ([978300760.0, 978300761000.0, 978300762000.0], {"seconds": 1, "milliseconds": 2}),
        ([978300760e6, 978300761e9], {"microseconds": 1, "nanoseconds": 1}),
    ],
)
def test_times_in_several_units_are_found(tmp_path: Path, times: list[float], units: dict[str, int] | None) -> None:
    for split, part in (("train", times[:-1]), ("eval", times[-1:])):
        folder = tmp_path / f"Split-{split}"
        folder.mkdir()
        pa.parquet.write_table(pa.table({"time": pa.array([[time] for time in part])}), folder / "0.parquet")
    warning = in_times(str(tmp_path))
    if units is None:
        assert warning is None
        return
    assert warning is not None and warning.count == min(units.values())
    assert all(f"{count} rows in {unit}" in warning.text for unit, count in units.items())


def test_warnings_survive_their_file(tmp_path: Path) -> None:
    rows = [(b"NA", b"f%d" % i, float(i % 5)) for i in range(9)] + [(b"u1", b"f1", 2.0)]
    examples = written_examples.write(tmp_path, rows)
    found = find(examples, IngestSettings(path="x"), 1)
    assert [(warning.kind, warning.count) for warning in found] == [("missing_words", 9)]
    write(found, examples.uri)
    assert read(examples.uri) == found
    assert read(str(tmp_path / "older")) == []
