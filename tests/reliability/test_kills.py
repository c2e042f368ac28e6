"""A few kills at fixed points of a random sequence. `make soak` does a hundred."""

from __future__ import annotations

from pathlib import Path

from tests.reliability.kills import kill_often


def test_killed_runs_lose_nothing(tmp_path: Path) -> None:
    counts = kill_often(tmp_path, kills=2, seed=24)
    assert counts["kills"] == 2 and counts["finished"] == 2
