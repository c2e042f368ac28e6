"""Report, index and monitor page in a browser: axe-core finds nothing, contrast is enough, and no label is clipped."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from components.data_gate.rules import check_traffic
from components.data_gate.settings import GateSettings
from components.pair_statistics.distribution import COUNTS, Distribution
from pipeline.commands.monitor.compare import Compared
from pipeline.commands.monitor.page import write_page
from pipeline.commands.monitor.traffic import Log, Traffic
from pipeline.records.root import Root
from pipeline.report import charts
from pipeline.report.charts import Axis, Dot
from pipeline.report.index import write_index
from pipeline.report.page import render
from pipeline.report.quality import SLICES
from tests.browser import Page, find_chromium, open_browser
from tests.unit.pipeline.report.planted_report import HOSTILE, empty_run, run_with, tuned_run

# It is read as a file: importing the package imports Playwright.
_PACKAGE = importlib.util.find_spec("axe_playwright_python")
pytestmark = [
    pytest.mark.tensorflow,
    pytest.mark.skipif(find_chromium() is None, reason="needs Chromium to open the pages"),
    pytest.mark.skipif(_PACKAGE is None, reason="needs axe-core, which `make` installs"),
]
PAGES = ("published", "refused", "tuned", "index", "monitor")
# axe-core cannot decide the contrast of text on the shadows at the edges of wide tables, and of text in charts.
_CONTRAST = """
(() => {
  const parse = text => text.match(/[\\d.]+/g).map(Number);
  const light = c => { const [r, g, b] = c.map(v => (v /= 255) <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4);
    return .2126 * r + .7152 * g + .0722 * b; };
  const ground = e => { for (; e; e = e.parentElement) { const c = parse(getComputedStyle(e).backgroundColor);
    if (c.length === 3 || c[3] === 1) return c.slice(0, 3); } return [255, 255, 255]; };
  const found = [];
  for (const e of document.querySelectorAll('body *')) {
    const own = [...e.childNodes].some(n => n.nodeType === 3 && n.data.trim());
    if (!own || ['SCRIPT', 'STYLE', 'title', 'desc'].includes(e.tagName) || !e.getClientRects().length) continue;
    const style = getComputedStyle(e), text = parse(e instanceof SVGElement ? style.fill : style.color);
    const [a, b] = [light(text.slice(0, 3)), light(ground(e))].sort((x, y) => y - x);
    found.push([(a + .05) / (b + .05), `${e.tagName}: ${e.textContent.slice(0, 40)}`]);
  }
  return found;
})()
"""
_OUTSIDE = """
[...document.querySelectorAll('svg.chart text')].filter(one => {
  const box = one.getBBox(), [, , width, height] = one.closest('svg').getAttribute('viewBox').split(' ').map(Number);
  return box.x < 0 || box.y < 0 || box.x + box.width > width || box.y + box.height > height;
}).map(one => one.textContent)
"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with open_browser(tmp_path_factory.mktemp("chromium")) as page:
        yield page


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The files by name."""
    folder = tmp_path_factory.mktemp("pages")
    ids = [*(f"word {number:03d}".encode() for number in range(300)), *HOSTILE]
    reports = {
        "published": run_with(folder / "run", ids, ids),
        "refused": empty_run(folder, status="data_refused", error="the gate refused the data:\n  rows at least 9: 3"),
        "tuned": tuned_run(folder),
    }
    for name, run in reports.items():
        (folder / f"{name}.html").write_text(render(run), encoding="utf-8")
    root = Root(folder / "films")
    for number, status in enumerate(("published", "model_refused", "published"), start=1):
        _record(root, number, status)
    write_index(root)
    _write_monitor(folder / "monitor.html")
    return {name: folder / f"{name}.html" for name in PAGES} | {"index": root.index}


def _record(root: Root, number: int, status: str) -> None:
    folder = root.runs / f"20260101-00000{number}-000"
    folder.mkdir(parents=True)
    (folder / "report.html").write_text("")
    summary = {"status": status, "components": [], "seconds": 9.0, "data": {"rows": 900 + number}}
    summary["metrics"] = {"rmse": 0.9 - number / 100, "baseline_rmse": 1.0}
    (folder / "summary.json").write_text(json.dumps(summary))


def _write_monitor(path: Path) -> None:
    """Two versions with drift."""
    ids = pa.table([pa.array([f"id {n}".encode() for n in range(40)], pa.large_binary()), range(1, 41)], schema=COUNTS)
    random = np.random.default_rng(3)
    train, other = (Distribution(ids, ids, np.sort(random.normal(shift, 1, 820)).astype("f4")) for shift in (0.0, 3.0))
    versions = []
    for number in (1, 2):
        traffic = Traffic("films", number)
        for side in ("left", "right"):
            traffic.ids[side].update({b"id 1": 9, b"new": 99})
        traffic.scores.append(other.scores)
        checks = tuple(check_traffic(traffic.distribution, train, GateSettings()))
        versions.append(Compared(traffic, "20260101-000000-000", train, checks))
    write_page(path, "films", Log([path], 10, [], [one.traffic for one in versions]), versions)


def _axe(page: Page) -> list[Any]:
    """Returns the rules that the page breaks, with places."""
    assert _PACKAGE is not None and _PACKAGE.origin is not None
    page.run(f"{Path(_PACKAGE.origin).with_name('axe.min.js').read_text(encoding='utf-8')};0")
    broken = "r.violations.map(v => [v.id, ...v.nodes.map(node => `${node.target} ${node.failureSummary}`)])"
    found: list[Any] = page.run(f"axe.run().then(r => r.passes.length ? {broken} : ['axe did not run'])")
    return found


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", PAGES)
def test_axe_finds_nothing(browser: Page, pages: dict[str, Path], name: str, scheme: str) -> None:
    for width in (1280, 390):
        browser.show_as(width, 900, scheme=scheme)
        browser.open(pages[name])
        assert _axe(browser) == [], (name, scheme, width)


@pytest.mark.parametrize(("scheme", "media"), [("light", ""), ("dark", ""), ("dark", "print")])
@pytest.mark.parametrize("name", PAGES)
def test_all_text_has_contrast(browser: Page, pages: dict[str, Path], name: str, scheme: str, media: str) -> None:
    browser.show_as(1280, 900, scheme=scheme, media=media)
    browser.open(pages[name])
    texts = browser.run(_CONTRAST)
    assert len(texts) > 10
    assert [words for ratio, words in texts if ratio < 4.5] == []


@pytest.mark.parametrize(("width", "media"), [(1280, ""), (390, ""), (760, "print")])
@pytest.mark.parametrize("name", ["published", "tuned", "index", "monitor"])
def test_no_label_of_a_chart_is_clipped(
    browser: Page, pages: dict[str, Path], name: str, width: int, media: str
) -> None:
    browser.show_as(width, 900, media=media)
    browser.open(pages[name])
    assert browser.run(_OUTSIDE) == []


@pytest.mark.parametrize("media", ["", "print"])
def test_longest_row_label_is_not_clipped(browser: Page, pages: dict[str, Path], media: str) -> None:
    rows = [(f"{name}, 29 rows", [Dot(1.0, "candidate", 0.5, 1.5)]) for name in SLICES.values()]
    browser.show_as(390, 900, media=media)
    browser.open(pages["published"])
    chart = json.dumps(str(charts.dots("slices", "", rows, Axis("rmse"))))
    browser.run(f"document.querySelector('#metrics svg.chart').outerHTML = {chart}")
    assert browser.run("document.querySelectorAll('#metrics svg.chart .label').length") == len(rows)
    assert browser.run(_OUTSIDE) == []


def test_checks_find_faults(browser: Page, pages: dict[str, Path]) -> None:
    """The same checks on a page with one fault of each kind."""
    browser.show_as(1280, 900)
    browser.open(pages["index"])
    browser.run("document.querySelector('h1').style.color = '#cccccc'; document.documentElement.lang = ''")
    browser.run("document.querySelector('svg.chart text').textContent = 'a label that is much too long'.repeat(9)")
    assert {rule for rule, *_ in _axe(browser)} == {"html-has-lang", "color-contrast"}
    assert [ratio < 4.5 for ratio, words in browser.run(_CONTRAST) if words.startswith("H1")] == [True]
    assert len(browser.run(_OUTSIDE)) == 1
