"""Which spans a run reads, against a plain list, and the weights of their rows."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.pair_example_gen import age, spans
from components.pair_example_gen.settings import DataSettings, IngestSettings, SpanSettings
from components.pair_example_gen.source import split_path
from errors import InputError

pytestmark = pytest.mark.tensorflow


def chosen(folder: Path, pattern: str, files: Sequence[str], **data: Any) -> list[str]:
    """Returns the patterns of the spans that a run reads of `files` below `folder`."""
    for file in files:
        path = folder / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("a,b,1\n")
    settings = DataSettings(path=str(folder / pattern), **data)
    base, below = split_path(settings.path)
    return [span.pattern for span in spans.choose(base, below, settings)]


DAYS = ["2023-12-30/a.csv", "2024-01-01/a.csv", "2024-02-29/a.csv"]
NUMBERS = ["s1/a.csv", "s2/a.csv", "s9/a.csv", "s9/b.csv", "s10/deep/a.csv"]


@pytest.mark.parametrize(
    ("wanted", "read"),
    [
        (None, ["s10/*"]),
        ({}, ["s1/*", "s2/*", "s9/*", "s10/*"]),
        ({"latest": 2}, ["s9/*", "s10/*"]),
        ({"latest": 99}, ["s1/*", "s2/*", "s9/*", "s10/*"]),
        ({"first": 2}, ["s2/*", "s9/*", "s10/*"]),
        ({"first": 2, "last": 9}, ["s2/*", "s9/*"]),
        ({"latest": 1, "last": 8}, ["s2/*"]),
    ],
)
def test_numbered_spans(tmp_path: Path, wanted: dict[str, int] | None, read: list[str]) -> None:
    assert chosen(tmp_path, "s{SPAN}/*", NUMBERS, **({} if wanted is None else {"spans": wanted})) == read


def test_dated_spans(tmp_path: Path) -> None:
    wanted = {"first": "2023-12-31", "last": datetime.date(2024, 2, 29)}
    assert chosen(tmp_path, "{YYYY}-{MM}-{DD}/*", DAYS, spans=wanted) == ["2024-01-01/*", "2024-02-29/*"]


def test_each_span_has_its_latest_version(tmp_path: Path) -> None:
    files = ["07/v1/a.csv", "07/v12/a.csv", "08/v2/a.csv"]
    assert chosen(tmp_path, "{SPAN:2}/v{VERSION}/*", files, spans={}) == ["07/v12/*", "08/v2/*"]


@pytest.mark.parametrize(
    ("pattern", "data", "words"),
    [
        ("s{SPAN}/*", {"spans": {"first": 11}}, r"data\.spans: there is no span between .* are 4: 1 to 10"),
        ("s{SPAN}/*", {"spans": {"last": "2024-01-01"}}, r"data\.spans\.last: .* are numbers.*got 2024-01-01"),
        ("{YYYY}-{MM}-{DD}/*", {"spans": {"first": 3}}, r"data\.spans\.first: .* are dates.*YYYY-MM-DD \(got 3\)"),
        ("s1/*", {"spans": {"latest": 7}}, r"data\.spans needs spans, but data\.path has none"),
        ("s1/*", {"age_weight": {"half_life": 7}}, r"data\.age_weight\.by: span needs spans"),
    ],
)  # fmt: skip
def test_spans_that_are_not_there(tmp_path: Path, pattern: str, data: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        chosen(tmp_path, pattern, [*NUMBERS, *DAYS], **data)


def test_folder_that_is_no_date(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="2024-02-30 is not a date"):
        chosen(tmp_path, "{YYYY}-{MM}-{DD}/*", [*DAYS, "2024-02-30/a.csv"])


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ({"first": 3, "last": 2}, "first must not be after last"),
        ({"first": 3, "last": "2024-01-01"}, "both be numbers, or both dates"),
        ({"first": "January"}, "must be the number of a span, or a date"),
        ({"first": True}, "must be the number of a span, or a date"),
        ({"last": -1}, "must be the number of a span, or a date"),
        ({"last": datetime.datetime(2024, 1, 1)}, "must be the number of a span, or a date"),
        ({"latest": 0}, "greater than 0"),
    ],
)
def test_impossible_bounds(section: dict[str, Any], words: str) -> None:
    with pytest.raises(pydantic.ValidationError, match=words):
        SpanSettings(**section)


_bounds = st.none() | st.integers(0, 30)


@given(found=st.sets(st.integers(0, 30), min_size=1), latest=st.none() | st.integers(1, 5), first=_bounds, last=_bounds)
def test_any_bounds(found: set[int], latest: int | None, first: int | None, last: int | None) -> None:
    if first is not None and last is not None and first > last:
        return
    wanted = SpanSettings(latest=latest, first=first, last=last)
    assert SpanSettings.model_validate_json(wanted.model_dump_json()) == wanted
    expected = [n for n in range(31) if n in found and (first is None or n >= first) and (last is None or n <= last)]
    expected = expected if latest is None else expected[::-1][:latest][::-1]
    if expected:
        assert spans._within(sorted(found), wanted, has_dates=False) == expected
    else:
        with pytest.raises(InputError):
            spans._within(sorted(found), wanted, has_dates=False)


def test_dates_survive_json() -> None:
    settings = IngestSettings(path="x", spans={"first": "2024-01-01"}, age_weight={"half_life": 2.5})
    assert IngestSettings.model_validate_json(settings.model_dump_json()) == settings


def test_files_and_ages_of_several_spans(tmp_path: Path) -> None:
    chosen(tmp_path, "s{SPAN}/*", NUMBERS)
    settings = DataSettings(path=str(tmp_path / "s{SPAN}/*"), spans={"latest": 3})
    base, pattern = split_path(settings.path)
    found, ages = spans.find_all(base, spans.choose(base, pattern, settings))
    assert [str(Path(file).relative_to(tmp_path)) for file in found.files] == NUMBERS[1:]
    assert ages == [8, 1, 1, 0]


@given(
    ages=st.lists(st.floats(0, 1e12), min_size=1, max_size=5),
    half_life=st.floats(1e-3, 1e9),
    weight=st.floats(2.0**-20, 2.0**20, width=32),
)
def test_weight_halves_with_each_half_life(ages: list[float], half_life: float, weight: float) -> None:
    expected = [max(0.5 ** min(old / half_life, 100), 2.0**-100) for old in ages]
    count = len(ages)
    times = [-old for old in ages]
    pairs = pa.table({"left_id": ["a"] * count, "right_id": ["b"] * count, "score": [1.0] * count, "time": times})
    new = age.with_time_weight(pairs, 0.0, half_life)
    assert new.schema.names == ["left_id", "right_id", "score", "weight", "time"]
    np.testing.assert_allclose(new["weight"].to_numpy(), expected, rtol=1e-6)
    given_weight = pairs.add_column(3, "weight", pa.array([weight] * count, pa.float32()))
    product = age.with_time_weight(given_weight, 0.0, half_life)
    np.testing.assert_allclose(product["weight"].to_numpy(), np.multiply(expected, weight), rtol=1e-6)
    of_span = age.with_span_weight(given_weight, ages[0], half_life)["weight"].to_numpy()
    np.testing.assert_allclose(of_span, expected[0] * weight, rtol=1e-6)


def test_no_row_loses_its_weight() -> None:
    pairs = pa.table({"left_id": ["a"], "right_id": ["b"], "weight": pa.array([1e-30], pa.float32())})
    assert age.with_span_weight(pairs, 1e9, 1.0)["weight"].to_pylist()[0] > 0
