"""The complete file: every section, reasons for empty sections, and ids with markup."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import html.parser
import itertools
import json
import re
from datetime import datetime, timezone
from pathlib import Path

import pytest

from pipeline.records.progress import Progress
from pipeline.report import page
from pipeline.report.page import SECTIONS, as_data, render
from pipeline.report.verdict import verdict
from tests.unit.pipeline.report.planted_report import HOSTILE, empty_run, run_with, tuned_run

pytestmark = pytest.mark.tensorflow

ALWAYS = [section.id for section in SECTIONS if section.id not in ("tuning", "settings", "replay")]
_VOID = {"meta", "link", "br", "img", "input", "hr"}


class _Reader(html.parser.HTMLParser):
    """Checks that elements are closed in order, and collects them."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in _VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("script", "style"):
            self.text.append(data)

    def attributes(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> str:
    return render(run_with(tmp_path_factory.mktemp("hostile"), HOSTILE, HOSTILE[::-1]))


def _data_of(text: str) -> dict:
    (found,) = re.findall(r'<script type="application/json" id="map-data">(.*?)</script>', text, re.DOTALL)
    return json.loads(found)


def test_sections_are_complete_and_ordered(tmp_path: Path) -> None:
    text = render(run_with(tmp_path, [b"a", b"b", b"c"], [b"d", b"e", b"f", b"g"]))
    read = _Reader(text)
    assert [attributes["id"] for attributes in read.attributes("section")] == ALWAYS
    assert re.findall('class="nothing">(.*?)<', text) == [f"There is no ML Metadata at {tmp_path}."]
    headings = [int(tag[1]) for tag, _ in read.elements if re.fullmatch("h[1-6]", tag)]
    assert headings[0] == 1 and headings.count(1) == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(headings))
    links = {attributes["href"] for attributes in read.attributes("a")}
    assert {f"#{name}" for name in ALWAYS} <= links


def test_figures_and_tables_are_accessible(tmp_path: Path) -> None:
    text = render(run_with(tmp_path, [b"a", b"b", b"c"], [b"d", b"e", b"f", b"g"]))
    read = _Reader(text)
    ids = [attributes["id"] for _, attributes in read.elements if attributes.get("id")]
    assert len(ids) == len(set(ids))
    drawings = [one for one in read.attributes("svg") if "aria-hidden" not in one]
    assert len(drawings) >= 6
    for drawing in drawings:
        assert drawing["role"] == "img"
        labels = (drawing.get("aria-labelledby") or "").split()
        assert drawing.get("aria-label") or (labels and set(labels) <= set(ids))
    tables = text.count("<table")
    assert tables == text.count("<caption>") > 5
    assert all(attributes.get("scope") in ("row", "col") for attributes in read.attributes("th"))
    (language,) = read.attributes("html")
    assert language["lang"] == "en"
    assert {"main", "nav", "header", "footer"} <= {tag for tag, _ in read.elements}


def test_ids_are_escaped_everywhere(hostile: str) -> None:
    read = _Reader(hostile)
    assert not read.attributes("img")
    kinds = [attributes.get("type") for attributes in read.attributes("script")]
    assert kinds == ["application/json", None]
    assert not [name for _, attributes in read.elements for name in attributes if name.startswith("on")]
    shown = "".join(read.text)
    assert shown.count("</script><script>window.hacked=1</script>") >= 4, "in the table, the quarantine, the neighbors"
    assert shown.count("{{7*7}}{% raw %}") >= 4
    assert "\u202e" not in hostile and "\x00" not in hostile and "\\u202egnp.exe" in shown


def test_map_data_keeps_ids(hostile: str) -> None:
    data = _data_of(hostile)
    left, right = data["sides"]
    assert left["ids"] == [*right["ids"]][::-1]
    assert "</script><script>window.hacked=1</script>" in left["ids"]
    assert "naïve 語 🐙" in left["ids"]
    assert left["pairs"] == sorted(left["pairs"], reverse=True)
    for side in (left, right):
        assert {len(side[name]) for name in ("ids", "pairs", "x", "y", "near")} == {len(HOSTILE)}
        assert all(row not in near and len(near) == 5 for row, near in enumerate(side["near"]))


@pytest.mark.parametrize("value", ["</script>", "<!--", "]]>", "a\u2028b", 'quo"te\\', "\x00"])
def test_map_data_cannot_end_its_element(value: str) -> None:
    text = str(as_data({"id": value}))
    assert not set(text) & set("<>&\u2028\u2029\x00")
    assert json.loads(text) == {"id": value}


def test_policy_blocks_requests_and_scripts(hostile: str) -> None:
    policy = next(
        attributes["content"] or ""
        for attributes in _Reader(hostile).attributes("meta")
        if attributes.get("http-equiv") == "Content-Security-Policy"
    )
    assert policy.startswith("default-src 'none'") and "http" not in policy
    (script,) = re.findall(r"<script>(.*?)</script>", hostile.rpartition("</main>")[2], re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in policy
    assert not re.search(r"""(src|href)=["'](?!#|data:)""", hostile)
    assert "@import" not in hostile and "url(" not in hostile


@pytest.mark.parametrize(
    ("summary", "headline", "why"),
    [
        (
            {
                "status": "data_refused", "error": "data.max_quarantined_fraction: <9> of 10 rows are bad",
                "components": [{"id": "PairExampleGen", "state": "failed", "seconds": 0.1}],
            },
            "The data was refused before training.",
            "The run ended at PairExampleGen, before Trainer.",
        ),
        (
            {
                "status": "failed", "error": "train: the loss became nan",
                "components": [{"id": "Trainer", "state": "failed", "seconds": 0.1}],
            },
            "The run failed in Trainer. The served model did not change.",
            "Trainer did not finish.",
        ),
        (
            {"error": "RuntimeError: no"}, "The run failed. The served model did not change.",
            "No component started.",
        ),
        (
            {
                "status": "failed", "published": "serving/3", "error": "OSError: No space left on device",
                "components": [{"id": "BatchLists", "state": "failed", "seconds": 0.1}],
            },
            "The run failed in BatchLists, after it published the model as serving/3.",
            "The run ended at BatchLists, before",
        ),
    ],
)  # fmt: skip
def test_early_end_is_explained_per_section(tmp_path: Path, summary: dict, headline: str, why: str) -> None:
    text = render(empty_run(tmp_path, **summary))
    read = _Reader(text)
    shown = " ".join(" ".join(read.text).split())
    assert headline in shown and why in shown
    assert [attributes["id"] for attributes in read.attributes("section")] == ALWAYS
    if "error" in summary:
        assert summary["error"] in shown
    assert "map-data" not in text.rpartition("</main>")[0]


SINCE = datetime(2026, 11, 25, 22, 8, tzinfo=timezone.utc)
DONE = [{"id": "PairExampleGen", "state": "executed", "seconds": 1.0}]


@pytest.mark.parametrize(
    ("progress", "badge", "headline", "why"),
    [
        (
            Progress(True, "Trainer", SINCE), "Running",
            "The run is in progress, at Trainer since 2026-11-25 22:08:00 UTC.", "Trainer has not finished yet.",
        ),
        (
            Progress(True, None, SINCE), "Running",
            "The run is in progress, started 2026-11-25 22:08:00 UTC, between components.",
            "The run has not finished Trainer yet.",
        ),
        (
            Progress(False, "Transform", SINCE), "Killed", "The run was killed at Transform, or its machine stopped.",
            "The run ended at Transform, before Trainer.",
        ),
        (
            Progress(None, "Trainer", SINCE), "Unfinished",
            "The run was unfinished at Trainer when this report was written.", "Trainer has not finished yet.",
        ),
    ],
)  # fmt: skip
def test_unfinished_run_is_not_failed(tmp_path: Path, progress: Progress, badge: str, headline: str, why: str) -> None:
    text = render(dataclasses.replace(empty_run(tmp_path, components=DONE), progress=progress))
    shown = " ".join(" ".join(_Reader(text).text).split())
    assert badge in shown and headline in shown and why in shown
    assert ("Run kindred report run to update it" in shown) is (progress.alive is True)
    assert "ail" not in shown.replace("available", ""), "fail, failed, failure"
    assert "could not be created" not in shown
    assert ("✕" in shown) is (progress.alive is False) and "✓ executed" in shown


def test_section_error_affects_only_its_section(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = run_with(tmp_path, [b"a", b"b"], [b"c", b"d"])
    history = Path(run.uri("Trainer", "model_run"), "history.json")
    history.write_text("{ half")
    parts = {part.section.id: part for part in page.parts(run)}
    assert parts["learning"].content is None and "JSONDecodeError" in (parts["learning"].absent or "")
    assert "Traceback" in capsys.readouterr().err
    assert all(part.content is not None for name, part in parts.items() if name not in ("learning", "lineage"))
    assert "JSONDecodeError" in render(run)


def test_warnings_about_the_data_are_shown_and_escaped(tmp_path: Path) -> None:
    run = run_with(tmp_path, [b"a"], [b"d"])
    found = {"kind": "blanks", "column": "data.columns.left", "count": 2, "examples": [], "text": "'<img>' is odd"}
    run.summary["data"]["warnings"] = [found]
    read = _Reader(render(run))
    assert not read.attributes("img")
    assert "data.columns.left: '<img>' is odd." in "".join(read.text)


def test_trials_are_shown(tmp_path: Path) -> None:
    text = render(tuned_run(tmp_path))
    assert 'id="tuning"' in text and "train.learning_rate" in text and "0.2500" in text and "1 (recommended)" in text
    assert "-0.1000 (-0.1500 to -0.0500)" in text and "0 (current)" in text and "the loss became nan" in text
    assert "1,234 rows that no trial saw" in text and "1 trials have no result" in text
    assert 'class="nothing"' not in text and 'id="map"' not in text, "a search has no model to show"
    kept = render(tuned_run(tmp_path, chosen=0))
    assert "No settings are better than the current ones beyond noise" in kept
    assert "No settings are better" not in text


def test_withdrawn_version_says_so(tmp_path: Path) -> None:
    class Withdrawals:
        def withdrawals(self) -> dict[str, str]:
            return {str(tmp_path / "serving" / "3"): "2026-11-25T22:07:01: stars fell"}

    planted = empty_run(tmp_path, status="published", published="serving/3")
    run = dataclasses.replace(planted, executions=Withdrawals())  # type: ignore[arg-type]
    assert run.root == tmp_path
    assert run.withdrawn == "2026-11-25T22:07:01: stars fell"
    assert "This version is withdrawn since 2026-11-25T22:07:01: stars fell." in verdict(run).headline


def test_refused_data_show_what_was_checked(tmp_path: Path) -> None:
    checks = [{"rule": "validate.min_rows", "value": 3.0, "bound": 10.0, "ok": False}]
    components = [{"id": "DataGate", "state": "failed", "seconds": 0.1}]
    data = {"checks": checks, "compared_with_last_accepted": False, "rows": 3, "quarantined": 0, "splits": {}}
    text = render(empty_run(tmp_path, status="data_refused", error="no", components=components, data=data))
    assert "validate.min_rows" in text and "does not hold" in text


def test_positives_show_lowest_scores(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet

    run = run_with(tmp_path, [b"a", b"b"], [b"c", b"d"])
    table = pa.table(
        {
            "left_id": pa.array([b"a"]), "right_id": pa.array([b"d"]), "score": [-0.5], "rank": [1234],
            "left_pairs": [3], "right_pairs": [4],
        }
    )  # fmt: skip
    pa.parquet.write_table(table, Path(run.uri("Evaluator", "evaluation"), "worst_pairs.parquet"))
    text = render(run)
    assert "Held-out pairs with the lowest scores" in text and "1,234" in text and "−0.5000" in text


def test_each_region_has_a_name_of_its_own(tmp_path: Path) -> None:
    text = render(run_with(tmp_path, [b"a", b"b", b"c"], [b"d", b"e", b"f", b"g"]))
    names = re.findall(r'role="region" aria-label="([^"]+)"', text) + re.findall(r"<h2[^>]*>([^<]+)</h2>", text)
    assert len(names) > 12 and len(names) == len(set(names)), sorted(names)


def test_no_table_has_the_name_of_a_section() -> None:
    templates = Path(page.__file__).parent / "templates"
    headings = re.compile(r"<h2[^>]*>([^<{]+)</h2>")
    titles = {section.title for section in SECTIONS}
    for template in templates.glob("*.html"):
        text = template.read_text()
        labels = set(re.findall(r'm\.scroll\("([^"]+)"\)', text))
        names = set(headings.findall(text)) if template.name in {"index.html", "monitor.html"} else titles
        assert not labels & names, f"{template.name}: a region and its section have one name"


def test_replay_shows_figures_and_rules(tmp_path: Path) -> None:
    from tests.unit.components.replay.test_comparison import FIGURES

    counts = {"files": 1, "records": 12, "damaged_files": 1, "foreign_records": 2, "of_other_models": 0}
    found = {
        "log": "/logs/<films>", "model": "films", "served": 3, "replayed": 10, "unanswered": 0,
        "fault": "score: <script>", **counts, **FIGURES,
        "scores": {"pairs": 4, "mean_change": 0.5, "max_change": 1.0, "sign_changes": 0.25},
        "rankings": {"lists": 2, "overlap": 0.75, "first_changed": 0.5},
        "ids": {"requested": 8, "unknown": 0.25, "unknown_served": 0.125, "lost": 0.125},
        "latency": {"ratio": 2.0, "p50_ms": 2.0, "p99_ms": 4.0, "p50_served_ms": 1.0, "p99_served_ms": 2.0},
        "rules": [
            {"rule": "publish.replay.max_latency_ratio", "value": 2.0, "bound": 1.5, "ok": False},
            {"rule": "publish.replay.max_lost_ids", "value": None, "bound": 0.1, "ok": True},
        ],
    }  # fmt: skip
    text = render(run_with(tmp_path, [b"a"], [b"x"], replay=found, status="model_refused"))
    shown = " ".join(_Reader(text).text)
    assert "<script>" in shown and "1 damaged files" in shown and "2 records that are no Predict request" in shown
    assert "publish.replay.max_latency_ratio" in shown and "nothing to compare" in shown and "2.00" in shown
    nothing = {
        "log": "/l",
        "model": "films",
        "nothing": "no file begins with /l",
        **dict.fromkeys(counts, 0),
        "rules": [],
    }
    shown = " ".join(_Reader(render(run_with(tmp_path / "n", [b"a"], [b"x"], replay=nothing))).text)
    assert "Nothing was replayed: no file begins with /l." in shown and "no rules on the replay" in shown
