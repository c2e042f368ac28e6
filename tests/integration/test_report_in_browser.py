"""The report in a headless Chromium: no messages, no requests, and an interactive map."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.records.root import Root
from pipeline.report.index import write_index
from pipeline.report.page import render
from tests.browser import Page, find_chromium, open_browser
from tests.unit.pipeline.report.planted_report import HOSTILE, run_with

pytestmark = [
    pytest.mark.tensorflow,
    pytest.mark.skipif(find_chromium() is None, reason="needs Chromium to open the report"),
]

# The name of the most frequent entity contains the name of the rarest.
WORDS = [b"a word 299", *(f"word {number:03d}".encode() for number in range(300))]


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with open_browser(tmp_path_factory.mktemp("chromium")) as page:
        yield page


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    path = folder / "report.html"
    path.write_text(render(run_with(folder, [*WORDS, *HOSTILE], [*HOSTILE, *WORDS])), encoding="utf-8")
    return path


@pytest.fixture
def page(browser: Page, report: Path) -> Page:
    browser.messages.clear()
    browser.requests.clear()
    browser.show_as(1280, 900)
    browser.open(report)
    return browser


def _map(page: Page, name: str) -> str:
    return page.run(f"document.getElementById('embedding-map').dataset.{name} ?? ''")


def test_page_logs_nothing_and_sends_no_request(page: Page, report: Path) -> None:
    assert page.messages == []
    assert page.requests == [report.as_uri()]
    assert page.run("window.hacked ?? 0") == 0
    assert page.run("document.querySelectorAll('main section').length") == 13
    assert page.run("[...document.querySelectorAll('main section')].every(s => s.offsetHeight > 60)")


@pytest.mark.parametrize("width", [360, 390, 1280])
def test_nothing_is_wider_than_the_window(page: Page, width: int) -> None:
    page.show_as(width, 800)
    assert page.run("document.documentElement.scrollWidth") == width


@pytest.mark.parametrize("width", [360, 1280])
def test_index_of_a_root_fits_the_window(browser: Page, tmp_path: Path, width: int) -> None:
    root = Root(tmp_path / "films")
    for number in range(1, 4):
        folder = root.runs / f"20260101-00000{number}-000"
        folder.mkdir(parents=True)
        metrics = {"rmse": 0.9 - number / 100, "baseline_rmse": 1.0}
        summary = {"status": "published", "components": [], "seconds": 9.0, "metrics": metrics, "data": {"rows": 900}}
        (folder / "summary.json").write_text(json.dumps(summary))
    path = write_index(root)
    browser.messages.clear()
    browser.requests.clear()
    browser.show_as(width, 800)
    browser.open(path)
    assert browser.messages == [] and browser.requests == [path.as_uri()]
    assert browser.run("document.documentElement.scrollWidth") == width
    assert browser.run("document.querySelectorAll('main section').length") == 3


def test_search_highlights_and_centers_match(page: Page) -> None:
    page.run("document.getElementById('map-search').focus()")
    page.type("word 04")
    assert page.run("document.getElementById('map-found').textContent").startswith("20 found, the first 8")
    assert page.run("document.querySelectorAll('#map-matches button').length") == 8
    page.press("Enter", "\r")
    page.settle()
    assert _map(page, "chosen") == "word 040"
    assert float(_map(page, "zoom")) == 6
    text = page.run("document.querySelector('.chosen').innerText")
    assert text.startswith("word 040 left") and "training pairs" in text
    nearest = page.run("document.querySelectorAll('.chosen button').length")
    assert nearest == 5
    page.run("document.querySelector('.chosen button').click()")
    assert _map(page, "chosen") not in ("", "word 040"), "a neighbour was chosen"
    page.run("document.getElementById('map-search').select()")
    page.type("nowhere")
    assert "No entity on this map" in page.run("document.getElementById('map-found').textContent")


def test_exact_match_precedes_partial_matches(page: Page) -> None:
    page.run("document.getElementById('map-search').focus()")
    page.type("Word 299")
    page.press("Enter", "\r")
    page.settle()
    assert _map(page, "chosen") == "word 299"


@pytest.mark.parametrize("raw", HOSTILE[:4])
def test_markup_ids_are_treated_as_text(page: Page, raw: bytes) -> None:
    page.run("document.getElementById('map-search').focus()")
    page.type(raw.decode())
    page.press("Enter", "\r")
    page.settle()
    assert _map(page, "chosen") == raw.decode()
    assert page.run("document.querySelector('.chosen strong').textContent") == raw.decode()
    assert page.run("document.querySelector('#map-matches bdi').textContent") == raw.decode()
    assert page.run("window.hacked ?? 0") == 0 and page.messages == []


def _drawn(page: Page) -> str:
    return page.run("document.querySelector('canvas').toDataURL()")


def _on_the_map(page: Page, part: float) -> tuple[float, float]:
    """Returns window coordinates for fractions of the width and height of the map."""
    box = "document.querySelector('canvas').getBoundingClientRect()"
    x, y = page.run(f"(e => [e.x + e.width * {part}, e.y + e.height * {part}])({box})")
    return x, y


def test_buttons_keys_and_the_wheel_zoom_and_move(page: Page) -> None:
    first = _drawn(page)
    page.run("document.querySelector('[data-do=in]').click()")
    page.settle()
    assert float(_map(page, "zoom")) == pytest.approx(1.6) and _drawn(page) != first
    page.run("document.querySelector('[data-do=all]').click()")
    page.settle()
    assert float(_map(page, "zoom")) == 1 and _drawn(page) == first
    page.run("document.querySelector('canvas').focus()")
    page.press("+", "+")
    page.settle()
    zoomed = _drawn(page)
    page.press("ArrowLeft")
    page.settle()
    assert float(_map(page, "zoom")) == pytest.approx(1.6) and _drawn(page) != zoomed
    page.press("0", "0")
    page.settle()
    page.run("document.querySelector('canvas').scrollIntoView({block: 'center'})")
    x, y = _on_the_map(page, 1 / 3)
    page.mouse("mouseWheel", x, y, deltaX=0, deltaY=-300)
    page.wait_for("Number(document.getElementById('embedding-map').dataset.zoom) > 1.5")
    page.mouse("mousePressed", x, y, button="left", clickCount=1)
    before = _drawn(page)
    page.mouse("mouseMoved", x + 80, y + 30, button="left", buttons=1)
    page.mouse("mouseReleased", x + 80, y + 30, button="left", clickCount=1)
    page.settle()
    assert _drawn(page) != before


def test_wheel_scrolls_page_until_map_is_focused(page: Page) -> None:
    page.run("document.querySelector('canvas').scrollIntoView({block: 'center'})")
    page.run("document.activeElement.blur()")
    top = page.run("scrollY")
    x, y = _on_the_map(page, 1 / 4)
    page.mouse("mouseWheel", x, y, deltaX=0, deltaY=200)
    page.wait_for(f"scrollY > {top}")
    assert float(_map(page, "zoom")) == 1


def test_two_fingers_zoom_and_one_scrolls(page: Page) -> None:
    def touch(kind: str, *fingers: tuple[float, float]) -> None:
        points = [{"x": x, "y": y, "id": number} for number, (x, y) in enumerate(fingers)]
        page.call("Input.dispatchTouchEvent", type=kind, touchPoints=points)

    page.call("Emulation.setTouchEmulationEnabled", enabled=True, maxTouchPoints=2)
    page.show_as(390, 800)
    page.run("document.querySelector('canvas').scrollIntoView({block: 'center'})")
    x, y = _on_the_map(page, 1 / 2)
    top = page.run("scrollY")
    touch("touchStart", (x, y))
    for step in range(10, 150, 10):
        touch("touchMove", (x, y - step))
    touch("touchEnd")
    page.wait_for(f"scrollY > {top}")
    assert float(_map(page, "zoom")) == 1
    touch("touchStart", (x, y - 30), (x, y + 30))
    for step in range(35, 65, 5):
        touch("touchMove", (x, y - step), (x, y + step))
    touch("touchEnd")
    page.settle()
    # The browser aligns touches with its frames, so the last touch may be one step behind the fingers.
    assert float(_map(page, "zoom")) == pytest.approx(2, rel=0.1)
    page.call("Emulation.setTouchEmulationEnabled", enabled=False)


def test_side_can_be_hidden(page: Page) -> None:
    both = _drawn(page)
    page.run("document.querySelector('[data-side=\"1\"]').click()")
    page.settle()
    assert _drawn(page) != both


def test_keyboard_reaches_every_control(page: Page) -> None:
    page.run("document.body.focus()")
    reached, first = [], None
    for _ in range(80):
        page.press("Tab")
        told = "[e.tagName, e.className, e.id, e.dataset.do ?? '', getComputedStyle(e).outlineStyle]"
        here = page.run(f"(e => {told})(document.activeElement)")
        assert here[4] != "none" or here[0] in ("BODY", "INPUT"), f"{here} shows no focus"
        if here == first or here[0] == "BODY":
            break
        first = first or here
        reached.append(here)
    assert reached[0][1] == "skip", "what comes first leads past the navigation"
    names = {tuple(one[:1]) for one in reached}
    assert {("A",), ("INPUT",), ("BUTTON",), ("CANVAS",), ("SUMMARY",), ("DIV",)} <= names
    assert {"in", "out", "all"} <= {one[3] for one in reached}


def test_dark_and_light_are_both_drawn(page: Page) -> None:
    def ground() -> str:
        return page.run("getComputedStyle(document.body).backgroundColor")

    light, drawn = ground(), _drawn(page)
    page.show_as(1280, 900, scheme="dark")
    assert ground() != light
    assert _drawn(page) != drawn, "the map follows"
    page.show_as(1280, 900, scheme="dark", media="print")
    assert page.run("getComputedStyle(document.body).color") == "rgb(26, 29, 35)", "paper is light"


def test_print_expands_content_and_hides_controls(page: Page, tmp_path: Path) -> None:
    page.print_to(tmp_path / "report.pdf")
    assert (tmp_path / "report.pdf").read_bytes()[:5] == b"%PDF-"
    assert page.run("[...document.querySelectorAll('details')].every(one => one.open)")
    page.show_as(900, 900, media="print")
    shown = "selector => getComputedStyle(document.querySelector(selector)).display !== 'none'"
    assert [page.run(f"({shown})('{selector}')") for selector in ("nav", ".tools", "canvas", "main")] == [
        False, False, True, True,
    ]  # fmt: skip
    assert page.messages == []
