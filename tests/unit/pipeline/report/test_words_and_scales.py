"""Formatted numbers and ids, and positions on scales."""

from __future__ import annotations

import itertools
import math

import hypothesis.strategies as st
import pytest
from hypothesis import given

from pipeline.report import words
from pipeline.report.scales import Scale, linear, logarithmic

FINITE = st.floats(-1e9, 1e9, allow_nan=False)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (words.figure(0.35433), "0.3543"), (words.figure(-0.35433), "−0.3543"), (words.figure(0.0), "0.0000"),
        (words.figure(1.5e-5), "1.5e-05"), (words.figure(None), "–"), (words.figure(math.nan), "–"),
        (words.signed(0.5), "+0.5000"), (words.signed(-0.5), "−0.5000"), (words.count(237808), "237,808"),
        (words.short(10_000), "10k"), (words.short(2_500_000), "2.5M"), (words.short(1000), "1000"),
        (words.short(-2.0), "−2"),
        (words.share(0.05), "5 %"), (words.seconds(0.041), "0.04 s"), (words.seconds(59.94), "59.9 s"),
        (words.seconds(307), "5 min 07 s"), (words.seconds(7500), "2 h 05 min"), (words.size(61_946), "61.9 kB"),
        (words.moment("2026-11-05T22:07:01+00:00"), "5 November 2026, 22:07 UTC"), (words.two_digits(-0.474), "−0.47"),
    ],
)  # fmt: skip
def test_number_formats(text: str, expected: str) -> None:
    assert text == expected


@given(st.binary(max_size=300))
def test_ids_have_visible_characters_only(raw: bytes) -> None:
    text = words.readable_id(raw)
    assert text.isprintable() and len(text) <= 120
    text.encode("utf-8")


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        ("naïve 語 🐙".encode(), "naïve 語 🐙"),
        (b"\xff\xfe", "\\xff\\xfe"),
        ("\u202egnp.exe".encode(), "\\u202egnp.exe"),
        (b"a\x00b\n", "a\\x00b\\n"),
        (b"<b>", "<b>"),
    ],
)
def test_invisible_characters_are_escaped(raw: bytes, text: str) -> None:
    assert words.readable_id(raw) == text


def test_long_ids_are_cut() -> None:
    assert words.readable_id(b"x" * 1024) == "x" * 119 + "…"


@given(FINITE, FINITE, FINITE)
def test_linear_scale_is_ordered(a: float, b: float, c: float) -> None:
    low, middle, high = sorted((a, b, c))
    scale = linear(low, high, 48, 390)
    span = max(abs(scale.low), abs(scale.high), 1e-300)
    assert scale.low <= low + 1e-9 * span and high <= scale.high + 1e-9 * span
    assert 48 <= scale(low) <= scale(middle) <= scale(high) <= 390


@given(st.floats(1e-6, 1e9), st.floats(1e-6, 1e9))
def test_logarithmic_decades_are_equal(a: float, b: float) -> None:
    scale = logarithmic(min(a, b), max(a, b), 0, 300)
    assert scale.low <= min(a, b) * (1 + 1e-9) and max(a, b) <= scale.high * (1 + 1e-9)
    places = [scale(scale.low * 10**power) for power in range(round(math.log10(scale.high / scale.low)) + 1)]
    steps = [after - before for before, after in itertools.pairwise(places)]
    assert max(steps) - min(steps) < 0.05


@given(FINITE, FINITE)
def test_ticks_are_few_and_inside(a: float, b: float) -> None:
    scale = linear(min(a, b), max(a, b), 48, 390)
    places = [place for place, _ in scale.ticks]
    assert 2 <= len(places) <= 8
    assert places == sorted(places) and all(48 <= place <= 390 for place in places)


@given(st.integers(0, 10_000), st.integers(0, 10_000))
def test_ticks_of_counts_are_whole(a: int, b: int) -> None:
    scale = linear(min(a, b), max(a, b), 48, 390, whole=True)
    assert 2 <= len(scale.ticks) <= 8
    assert all("." not in label or label.endswith("k") for _, label in scale.ticks)
    assert scale.low <= min(a, b) and max(a, b) <= scale.high


def test_two_runs_have_two_ticks() -> None:
    assert [label for _, label in linear(1, 2, 0, 9, whole=True).ticks] == ["1", "2"]


def test_vertical_axes_grow_upwards() -> None:
    scale = linear(0, 10, 200, 26)
    assert scale(0) == 200 and scale(10) == 26 and scale(5) == 113


def test_outside_values_are_clipped() -> None:
    assert Scale(0, 1, 0, 100)(7) == 100
    assert Scale(1, 10, 0, 100, log=True)(0) == 0
