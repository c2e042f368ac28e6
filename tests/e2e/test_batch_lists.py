"""Section `batch`: one root with lists. First run, second run and a refused model, in this order."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
import pytest

from components.batch_lists.folder import read_manifest
from tests.e2e import planted
from tests.e2e.command import kindred, last_summary, states

BATCH = """
batch:
  lists: [right, left, neighbors_right]
  k: 4
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lists")
    planted.write_pipeline(folder)
    with open(folder / "pipeline.yaml", "a", encoding="utf-8") as file:
        file.write(BATCH)
    return folder


def run(place: Path, *arguments: object) -> tuple[int, str]:
    done = kindred("run", "--config", place / "pipeline.yaml", "--root", place / "root", *arguments)
    return done.returncode, done.stdout + done.stderr


def rows_of(folder: Path) -> list[dict[str, object]]:
    return pa.parquet.read_table(folder).to_pylist()


def test_lists_are_those_of_recommend(place: Path) -> None:
    code, output = run(place)
    assert code == 0, output
    assert "lists/1; right: 60 lists" in output and "root/lists/1" in output
    summary = last_summary(place / "root")
    assert states(summary)["BatchLists"] == "executed"
    assert summary["lists"]["path"] == "lists/1"
    assert summary["lists"]["counts"]["right"]["queries"] == planted.LEFT
    assert summary["lists"]["counts"]["neighbors_right"] == {"queries": planted.RIGHT, "rows": 4 * planted.RIGHT}
    seen = ("--exclude-seen", place / "pairs.csv", "--columns", "who,what")
    for name, options in {
        "right": ("--side", "right", *seen),
        "left": ("--side", "left", *seen),
        "neighbors_right": ("--side", "right", "--neighbors"),
    }.items():
        expected = place / f"{name}.parquet"
        model = place / "root" / "serving"
        done = kindred("recommend", "--model", model, "--output", expected, "-k", 4, *options)
        assert done.returncode == 0, done.stderr
        found = rows_of(place / "root" / "lists" / "current" / name)
        assert found == rows_of(expected)
        assert len(found) == summary["lists"]["counts"][name]["rows"] > 0
    report = (place / "root" / "runs" / summary["run_id"] / "report.html").read_text(encoding="utf-8")
    assert "are in lists/1" in report
    (artifact,) = (place / "root" / "pipeline" / "BatchLists" / "lists").iterdir()
    assert read_manifest(artifact) == read_manifest(place / "root" / "lists" / "1")


def test_second_run_keeps_the_lists(place: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in (place / "root" / "lists" / "1").rglob("*")}
    code, output = run(place)
    assert code == 0, output
    assert states(last_summary(place / "root"))["BatchLists"] == "cached"
    assert {path: path.stat().st_mtime_ns for path in (place / "root" / "lists" / "1").rglob("*")} == before


def test_refused_model_writes_nothing(place: Path) -> None:
    before = sorted((place / "root" / "lists").rglob("*"))
    code, output = run(place, "--set", "train.epochs=1", "--set", "train.learning_rate=0.000001")
    assert code == 4, output
    assert states(last_summary(place / "root"))["BatchLists"] == "skipped"
    assert "lists" not in last_summary(place / "root")
    assert sorted((place / "root" / "lists").rglob("*")) == before
