"""The MovieLens example on the real file, for whoever has it: KINDRED_BENCH_DATA names the folder."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.e2e.command import kindred, last_summary

CONFIG = Path(__file__).parents[2] / "examples" / "movielens" / "pipeline.yaml"
RATINGS = Path(os.environ.get("KINDRED_BENCH_DATA", ""), "ml-100k", "ratings_100k.tsv.gz")

pytestmark = pytest.mark.skipif(
    not RATINGS.is_file(), reason="KINDRED_BENCH_DATA names no folder with ml-100k/ratings_100k.tsv.gz"
)


def test_movielens_100k_is_learned_in_stars(tmp_path: Path) -> None:
    done = kindred("run", "--config", CONFIG, "--data", RATINGS, "--root", tmp_path)
    assert done.returncode == 0, done.stderr
    summary = last_summary(tmp_path)
    assert summary["data"]["rows"] == 100_000
    assert summary["data"]["left_entities"] == 943
    assert summary["metrics"]["rmse"] < 0.95
    assert summary["metrics"]["baseline_rmse"] == pytest.approx(1.12, abs=0.03)
    # User 1 gave film 50 five stars, film 74 one.
    liked, disliked = (kindred("score", "--model", tmp_path / "serving", 1, film).stdout for film in (50, 74))
    stars = [float(answer.split("value")[1].split()[0]) for answer in (liked, disliked)]
    assert 4 < stars[0] < 5.8
    assert stars[1] < 3.5
