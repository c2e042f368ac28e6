"""`kindred compare` lists exactly what differs between two planted runs."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from errors import ReportError
from pipeline.commands.compare import _leaves, compare
from pipeline.records.run_folder import RunFolder

SUMMARY: dict[str, Any] = {
    "pipeline": "films", "status": "published", "published": "serving/1", "seconds": 9.5, "components": [],
    "config": {"train": {"epochs": 3, "als": {"ridge": None}}, "evaluate": {"metrics": ["rmse"]}},
    "data": {"rows": 1000, "splits": {"train": 900, "eval": 100}},
    "metrics": {"rmse": 0.91, "baseline_rmse": 1.1},
}  # fmt: skip


@pytest.fixture
def runs(tmp_path: Path) -> tuple[RunFolder, RunFolder]:
    other = copy.deepcopy(SUMMARY)
    other["published"], other["config"]["train"]["als"]["ridge"] = "serving/2", 2.0
    other["config"]["evaluate"]["metrics"] = ["rmse", "mae"]
    other["data"]["splits"]["train"] = 950
    other["metrics"] = {"rmse": 0.9, "baseline_rmse": 1.1, "mae": 0.7}
    folders = []
    for name, summary in (("1", SUMMARY), ("2", other)):
        folder = RunFolder(tmp_path / "runs" / name)
        folder.path.mkdir(parents=True)
        folder.summary.write_text(json.dumps(summary))
        folders.append(folder)
    return folders[0], folders[1]


def test_differences_are_listed_by_group(runs: tuple[RunFolder, RunFolder]) -> None:
    found = json.loads(compare(*runs, as_json=True))
    assert found == {
        "runs": ["1", "2"],
        "result": {"published": ["serving/1", "serving/2"]},
        "configuration": {"train.als.ridge": [None, 2.0], "evaluate.metrics": [["rmse"], ["rmse", "mae"]]},
        "data": {"splits.train": [900, 950]},
        "metrics": {"rmse": [0.91, 0.9], "baseline_rmse": [1.1, 1.1], "mae": [None, 0.7]},
        "paired": {"intervals": {}, "problem": f"there is no ML Metadata at {runs[0].root.metadata}"},
    }


def test_text_has_differences_of_metrics(runs: tuple[RunFolder, RunFolder]) -> None:
    text = compare(*runs, as_json=False, width=100)
    rows = [line.split() for line in text.splitlines()]
    assert ["metrics", "1", "2", "difference", "95", "%", "interval"] in rows
    assert "No intervals of differences: there is no ML Metadata at" in text
    assert ["rmse", "0.91", "0.9", "-0.0100"] in rows
    assert ["train.als.ridge", "–", "2"] in rows and ["splits.train", "900", "950"] in rows


def test_run_compared_with_itself_has_no_difference(runs: tuple[RunFolder, RunFolder]) -> None:
    text = compare(runs[0], runs[0], as_json=False, width=100)
    assert [line for line in text.splitlines() if line.endswith("no difference")] == [
        "result: no difference", "configuration: no difference", "data: no difference"
    ]  # fmt: skip


@pytest.mark.parametrize("text", ["{", "[]", ""])
def test_unreadable_record_is_named(runs: tuple[RunFolder, RunFolder], text: str) -> None:
    runs[1].summary.write_text(text)
    with pytest.raises(ReportError, match=r"runs/2/summary\.json: is no record of a run"):
        compare(*runs, as_json=False)


@given(
    st.recursive(
        st.integers() | st.text(max_size=3), lambda children: st.dictionaries(st.text("ab", min_size=1), children)
    )
)
def test_each_value_has_one_dotted_key(tree: Any) -> None:
    leaves = list(_leaves({"root": tree}))
    assert len({key for key, _ in leaves}) == len(leaves) >= 1
    for key, value in leaves:
        found: Any = {"root": tree}
        for part in key.split("."):
            found = found[part]
        assert found == value
