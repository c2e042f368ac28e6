"""`--span` names one span or a range of them."""

from __future__ import annotations

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from errors import ConfigError
from pipeline.config.span_range import SpanRange


@given(st.integers(0, 10**9), st.integers(0, 50))
def test_range_of_numbers_has_each_number(first: int, more: int) -> None:
    assert list(SpanRange.parse(f"{first}..{first + more}")) == [first + number for number in range(more + 1)]


@given(st.dates(datetime.date(1970, 1, 1), datetime.date(2090, 1, 1)), st.integers(0, 50))
def test_range_of_dates_has_each_day(first: datetime.date, more: int) -> None:
    last = first + datetime.timedelta(more)
    days = list(SpanRange.parse(f"{first}..{last}"))
    assert (days[0], days[-1], len(days)) == (first, last, more + 1)


@pytest.mark.parametrize("text", ["7", "2026-01-31"])
def test_single_span_is_a_range_of_one(text: str) -> None:
    wanted = SpanRange.parse(text)
    assert wanted.is_one and [str(span) for span in wanted] == [text]


@pytest.mark.parametrize(
    "text", ["", "..", "a", "1..", "..2", "1...2", "1..2..3", "-1", "1.5", "2026-02-30", "2026-1-1", "3..2",
             "2026-01-02..2026-01-01", "1..2026-01-01", "²", "1 .. 2"]
)  # fmt: skip
def test_other_text_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="--span"):
        SpanRange.parse(text)


@given(st.text(max_size=20))
def test_any_text_is_a_range_or_refused(text: str) -> None:
    try:
        wanted = SpanRange.parse(text)
    except ConfigError:
        return
    assert type(wanted.first) is type(wanted.last)
