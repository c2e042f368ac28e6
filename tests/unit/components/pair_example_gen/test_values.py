"""Ids, numbers and times of every type, against values that Python computes."""

from __future__ import annotations

import datetime
import uuid
from decimal import Decimal
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.pair_example_gen.numbers import parse_numbers, parse_times
from components.pair_example_gen.values import as_ids, can_be


def ids(column: pa.Array) -> tuple[list[bytes | None], list[str]]:
    reasons = np.full(len(column), "", object)
    return as_ids(column, "left", reasons).to_pylist(), reasons.tolist()


@given(st.lists(st.integers(-(2**53), 2**53)))
def test_whole_floats_have_the_digits_of_integers(numbers: list[int]) -> None:
    assert ids(pa.array(map(float, numbers), pa.float64())) == ([b"%d" % n for n in numbers], [""] * len(numbers))


@given(st.lists(st.integers(-(10**30), 10**30)))
def test_whole_decimals_have_the_digits_of_integers(numbers: list[int]) -> None:
    for scale in (0, 4):
        column = pa.array(map(Decimal, numbers), pa.decimal128(38, scale))
        assert ids(column) == ([b"%d" % n for n in numbers], [""] * len(numbers))


@given(st.lists(st.uuids()))
def test_uuids(values: list[uuid.UUID]) -> None:
    assert ids(pa.array([value.bytes for value in values], pa.binary(16)))[0] == [str(v).encode() for v in values]


@pytest.mark.parametrize("value", [1.5, -0.25, float("inf"), 2.0**54])
def test_other_floats_are_bad(value: float) -> None:
    assert ids(pa.array([value, 1.0]))[1][0]
    assert not ids(pa.array([value, 1.0]))[1][1]


def test_nan_is_a_missing_id() -> None:
    assert ids(pa.array([float("nan"), None, 1.0])) == ([None, None, b"1"], ["", "", ""])


@pytest.mark.parametrize(
    ("role", "type_", "possible"),
    [
        ("left", pa.bool_(), True),
        ("score", pa.bool_(), True),
        ("weight", pa.bool_(), False),
        ("left", pa.binary(16), True),
        ("left", pa.binary(8), False),
        ("score", pa.binary(16), False),
        ("time", pa.timestamp("ns", "UTC"), True),
        ("left", pa.timestamp("ns"), False),
        ("left", pa.list_(pa.int64()), False),
        ("left", pa.dictionary(pa.int32(), pa.string()), True),
    ],
)
def test_types_of_roles(role: str, type_: pa.DataType, possible: bool) -> None:
    assert can_be(role, type_) == possible


def test_words_of_booleans_are_scores_only() -> None:
    words = pa.array([b"true", b"False", b" TRUE ", b"truth", b"1"], pa.binary())
    values, valid = parse_numbers(words, with_booleans=True)
    assert values.tolist() == [1, 0, 1, 0, 1]
    assert valid.tolist() == [True, True, True, False, True]
    assert parse_numbers(words)[1].tolist() == [False] * 4 + [True]
    assert parse_numbers(pa.array([True, False]))[0].tolist() == [1, 0]


ZONES = ["UTC", "Europe/Paris", "America/New_York", "America/Argentina/Buenos_Aires", "Asia/Kolkata", "Etc/GMT+5"]


@given(st.datetimes(datetime.datetime(1971, 1, 1), datetime.datetime(2037, 1, 1)), st.sampled_from(ZONES))
def test_zones(local: datetime.datetime, zone: str) -> None:
    local = local.replace(hour=12, microsecond=0)  # neither skipped nor repeated
    expected = local.replace(tzinfo=ZoneInfo(zone)).timestamp()
    texts = [f"{local} {zone}", f"{local.isoformat()} {zone}", f"{local.isoformat()}[{zone}]"]
    values, valid, dates = parse_times(pa.array([text.encode() for text in texts], pa.binary()))
    assert valid.all() and dates.all()
    assert values.tolist() == [expected] * 3


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1970-01-01 00:01:00 UTC", 60),
        ("1970-01-01 00:01:00.5 UTC", 60.5),
        ("1970-01-01 00:01:00 GMT", 60),
        ("1970-01-01T00:01:00UTC", 60),
        ("1970-01-01 00:01:00 +0000", 60),
        ("1970-01-01 01:01:00 +01:00", 60),
        ("1970-01-01 00:01:00 Z", 60),
    ],
)
def test_forms_of_utc(text: str, seconds: float) -> None:
    assert parse_times(pa.array([text.encode()], pa.binary()))[0].tolist() == [seconds]


@pytest.mark.parametrize("text", ["1970-01-01 00:01:00 EST", "1970-01-01 00:01:00 No/Where", "00:01:00 UTC"])
def test_other_zones_are_bad(text: str) -> None:
    assert parse_times(pa.array([text.encode()], pa.binary()))[1].tolist() == [False]
