"""How far a node is: what is done, the rate and the time that is left."""

from __future__ import annotations

import logging
import re
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kindred import progress
from kindred.progress import Count, _Counter


@pytest.mark.parametrize(
    ("count", "now", "text"),
    [
        (Count("rows", 1000, 0.0, done=250, worked=250), 10.0, "250 of 1,000 rows, 25/s, 30 s left"),
        (Count("epochs", 20, 0.0, done=4, worked=4), 60.0, "4 of 20 epochs, 15.0 s each, 4 min left"),
        (Count("rows", 8000, 0.0, measured=False, done=500, worked=2000), 10.0, "500 rows (25%), 50/s, 30 s left"),
        (Count("rows", 1 << 20, 0.0, measured=False, done=5000), 10.0, "5,000 rows, 500/s"),
        (Count("lists", 4, 0.0, done=2, worked=2), 4 * 3600.0, "2 of 4 lists, 7,200.0 s each, 4 h 00 min left"),
        (Count("rows", 0, 0.0), 5.0, "0 of 0 rows"),
    ],
)  # fmt: skip
def test_description_has_rate_and_time_left(count: Count, now: float, text: str) -> None:
    assert count.describe(now) == text


@given(st.integers(0, 10**9), st.integers(0, 10**9), st.floats(0, 1e6), st.booleans())
def test_any_count_is_described(total: int, done: int, now: float, measured: bool) -> None:
    text = Count("rows", total, 0.0, measured, done, done).describe(now)
    assert text.startswith(f"{done:,}") and "-" not in text.replace("e-", "")


def test_watcher_sees_the_counts_of_all_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "_WATCHED_SECONDS", 0.0)
    seen: list[str] = []
    with progress.watched(seen.append), progress.counted("rows", 1000), ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda _: progress.advance("rows", 10), range(100)))
    assert seen[-1] == "" and seen[-2].startswith("1,000 of 1,000 rows")


def test_count_of_another_unit_does_not_change(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "_WATCHED_SECONDS", 0.0)
    seen: list[str] = []
    with progress.watched(seen.append), progress.counted("trials", 3), progress.counted("epochs", 9):
        progress.advance("rows", 100)
        assert not seen
        progress.advance("epochs", 2)
        progress.advance("trials", 1)
    assert re.match(r"0 of 3 trials; 2 of 9 epochs", seen[0])
    assert re.match(r"1 of 3 trials, .*; 2 of 9 epochs", seen[1])


def test_unwatched_work_is_a_rare_line(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    counter, clock = _Counter(), iter([1.0, 29.0, 31.0, 32.0, 62.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    counter.begin(Count("rows", 100, 0.0))
    with caplog.at_level(logging.INFO, "kindred.progress"):
        for _ in range(5):
            counter.advance("rows", 10, 10)
    assert [record.getMessage() for record in caplog.records] == [
        "30 of 100 rows, 1.0 s each, 72 s left",
        "50 of 100 rows, 1.2 s each, 62 s left",
    ]


def test_work_outside_of_a_count_is_ignored() -> None:
    progress.advance("rows", 5)
