"""`kindred runs` and `kindred versions` describe a root with planted records and versions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from components.pusher.local import LocalVersions
from errors import ReportError
from pipeline.commands.history import describe_runs, describe_versions
from pipeline.records.history import destination_of
from pipeline.records.root import Root


@pytest.fixture
def root(tmp_path: Path) -> Root:
    """A root with a published, a refused, a killed and an unreadable run, and versions 1 and 2."""
    root = Root(tmp_path / "root")
    model = tmp_path / "model"
    model.mkdir()
    for number in (1, 2):
        (model / "saved_model.pb").write_text(str(number))
        LocalVersions(str(root.path / "serving"), "films").publish(str(model))
    rule = {"rule": "ndcg@10 above 0.1", "value": 0.2, "bound": 0.1, "ok": True}
    metrics = {"recall@10": 0.5, "ndcg@10": 0.25, "baseline_ndcg@10": 0.1}
    _record(root, "1", status="published", published="serving/1", metrics=metrics, blessing=[rule], data={"rows": 1200})
    _record(root, "2", status="data_refused", error="the gate")
    _record(root, "3", status="published", published="serving/2", metrics={"rmse": 0.5})
    _record(root, "4", status="failed")
    (root.runs / "4" / ".running").touch()
    (root.runs / "5").mkdir()
    (root.runs / "5" / "summary.json").write_text("{")
    return root


def _record(root: Root, run_id: str, **more: Any) -> None:
    folder = root.runs / run_id
    folder.mkdir(parents=True)
    base = {"pipeline": "films", "run_id": run_id, "components": [], "seconds": 12.34, "config": {}}
    (folder / "summary.json").write_text(json.dumps({**base, "started": "2026-01-01T00:00:00+00:00", **more}))


def test_runs_are_a_table(root: Root) -> None:
    head, *rows = describe_runs(root, as_json=False, width=100).splitlines()
    assert head.split() == ["run", "state", "rows", "metrics", "version", "seconds"]
    first, refused, second, killed, unreadable = (row.split() for row in rows)
    assert first == ["1", "published", "1,200", "ndcg@10", "0.2500,", "recall@10", "0.5000", "serving/1", "12.3"]
    assert refused == ["2", "data", "refused", "12.3"]
    assert second == ["3", "published", "rmse", "0.5000", "serving/2", "12.3"]
    assert killed[:2] == ["4", "killed,"]
    assert unreadable == ["5", "no", "readable", "record"]


def test_runs_as_json_have_the_same_facts(root: Root) -> None:
    runs = json.loads(describe_runs(root, as_json=True))
    assert [run["run_id"] for run in runs] == ["1", "2", "3", "4", "5"]
    assert (runs[0]["published"], runs[0]["metrics"]["ndcg@10"], runs[1]["error"]) == ("serving/1", 0.25, "the gate")


@pytest.mark.tensorflow
def test_versions_name_their_runs_and_states(root: Root) -> None:
    lines = describe_versions(root, None, as_json=False, width=100).splitlines()
    assert lines[0] == str(root.path / "serving")
    assert [line.split() for line in lines[2:]] == [["1", "published", "1"], ["2", "served", "3"]]


@pytest.mark.tensorflow
def test_refused_destination_is_not_that_of_the_root(root: Root, tmp_path: Path) -> None:
    """Versions there are photos of the year 2015. Pruning would miss those of the root."""
    (tmp_path / "photos" / "2015").mkdir(parents=True)
    _record(root, "6", status="failed", config={"publish": {"to": str(tmp_path / "photos")}})
    versions = json.loads(describe_versions(root, None, as_json=True))["versions"]
    assert [version["number"] for version in versions] == [1, 2]
    done = [{"id": "Pusher", "state": "executed", "seconds": 1.0}]
    _record(root, "7", status="published", config={"publish": {"to": "elsewhere"}}, components=done)
    assert destination_of(root) == str(root.path / "elsewhere")


@pytest.mark.tensorflow
def test_damaged_version_is_not_the_served_one(root: Root) -> None:
    (root.path / "serving" / "2" / "saved_model.pb").write_text("changed")
    versions = json.loads(describe_versions(root, None, as_json=True))["versions"]
    assert [(v["number"], v["state"], v["note"]) for v in versions] == [
        (1, "served", ""),
        (2, "damaged", "saved_model.pb"),
    ]


@pytest.mark.tensorflow
def test_withdrawn_version_stays_in_the_list(root: Root) -> None:
    LocalVersions(str(root.path / "serving")).withdraw(2)
    versions = json.loads(describe_versions(root, "serving", as_json=True))["versions"]
    assert [(v["number"], v["state"], v["run_id"]) for v in versions] == [(1, "served", "1"), (2, "withdrawn", "3")]


def test_empty_root_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ReportError, match="no run is recorded"):
        describe_runs(Root(tmp_path), as_json=False)
    with pytest.raises(ReportError, match="has no version"):
        describe_versions(Root(tmp_path), None, as_json=False)
