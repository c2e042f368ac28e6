"""ROOT/index.html has every run and version of a root, as text."""

from __future__ import annotations

import html
import json
import re
from pathlib import Path
from typing import Any

import pytest

from components.pusher.local import LocalVersions
from pipeline.records.root import Root
from pipeline.report.index import write_index

pytestmark = pytest.mark.tensorflow

HOSTILE = "<script>window.hacked = 1</script>"


@pytest.fixture
def root(tmp_path: Path) -> Root:
    root = Root(tmp_path / "films")
    model = tmp_path / "model"
    model.mkdir()
    (model / "saved_model.pb").write_text("1")
    LocalVersions(str(root.path / "serving"), "films").publish(str(model))
    rule = [{"rule": "ndcg@10 above 0.1", "value": 0.2, "bound": 0.1, "ok": True}]
    for number in (1, 2, 3):
        metrics = {"recall@10": 0.5, "ndcg@10": 0.2 + number / 100, "baseline_ndcg@10": 0.1}
        published = "serving/1" if number == 3 else None
        _record(root, str(number), metrics=metrics, blessing=rule, published=published, data={"rows": 1000 * number})
    return root


def _record(root: Root, run_id: str, **more: Any) -> None:
    folder = root.runs / run_id
    folder.mkdir(parents=True)
    base = {"pipeline": "films", "run_id": run_id, "status": "published", "components": [], "seconds": 12.34}
    (folder / "summary.json").write_text(json.dumps({**base, "started": "2026-01-01T10:00:00+00:00", **more}))


def _text(page: str) -> str:
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", page)))


def test_page_lists_runs_and_versions(root: Root) -> None:
    (root.runs / "3" / "report.html").write_text("report")
    page = write_index(root).read_text()
    text = _text(page)
    assert "3 runs and 1 version." in text
    assert "1 served 3" in text, "version 1 is served, and run 3 made it"
    assert text.index(" 3 published 2026-01-01 10:00 3,000 ndcg@10 0.23, recall@10 0.5") < text.index(" 1 published")
    assert 'href="runs/3/report.html"' in page and 'href="runs/1/report.html"' not in page


def test_trends_begin_with_metrics_of_rules(root: Root) -> None:
    page = write_index(root).read_text()
    titles = re.findall(r"<figcaption><h3>([^<]+)</h3>", page)
    assert titles == ["ndcg@10", "recall@10", "rows"]
    assert "From 0.21 to 0.23 in 3 runs." in page
    assert page.count("<polyline") == 3


def test_broken_and_hostile_records_are_text(root: Root) -> None:
    _record(root, "4", status="failed", error="x", published=HOSTILE)
    (root.runs / "5").mkdir()
    (root.runs / "5" / "summary.json").write_text("{")
    page = write_index(root).read_text()
    assert "<script>window" not in page and HOSTILE in _text(page).replace("< script >", "<script>") + html.unescape(
        page
    )
    assert "no readable record" in page


def test_root_with_one_run_has_no_trend(tmp_path: Path) -> None:
    root = Root(tmp_path / "films")
    _record(root, "1", status="data_refused", error="the gate")
    page = write_index(root).read_text()
    assert "Trends" not in page and "No version is published." in page and "data refused" in page


def test_page_is_replaced_in_one_step(root: Root) -> None:
    write_index(root)
    _record(root, "4", metrics={"ndcg@10": 0.3})
    write_index(root)
    assert "4 runs" in _text(root.index.read_text())
    assert [path.name for path in root.path.iterdir() if path.name.startswith(".index")] == []
