"""The example that mixes stock components with ours runs with TFX's LocalDagRunner, and publishes a good model."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.source_files import REPOSITORY

pytestmark = pytest.mark.tensorflow


def _write_ratings(path: Path) -> None:
    """Users like the films of their own group: even or odd."""
    pairs = ((user, film) for user in range(60) for film in range(40) if (user * 7 + film * 3) % 5)
    rows = [f"user{user},film{film},{5 if user % 2 == film % 2 else 1}" for user, film in pairs]
    path.write_text("\n".join(["user,film,stars", *rows]), encoding="utf-8")


def test_example_publishes_planted_model(tmp_path: Path) -> None:
    _write_ratings(tmp_path / "ratings.csv")
    done = subprocess.run(
        [sys.executable, "-m", "examples.tfx_pipeline.graph", str(tmp_path / "ratings.csv"), str(tmp_path / "root")],
        cwd=REPOSITORY, capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    from kindred.api import load

    model = load(tmp_path / "root")
    assert model.version == 1
    films = [film.id for film in model.similar("user0", k=5)]
    assert [film for film in films if int(film.removeprefix("film")) % 2] == []
