"""The head of the report: the result of the run, and its most important figures."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from components.evaluator.figures import MEAN, POPULARITY, Figure
from components.evaluator.names import ERRORS, is_ranking
from pipeline.records import node_ids
from pipeline.records.progress import Progress, moment
from pipeline.report import words
from pipeline.report.sources import Absent, Run

# Tone: a class of the stylesheet. The badge repeats it as text.
_TONES = {
    "published": "ok",
    "tuned": "ok",
    "awaiting_approval": "ok",
    "data_refused": "bad",
    "model_refused": "bad",
    "failed": "bad",
}
_BADGES = {
    "published": "Published",
    "tuned": "Tuned",
    "awaiting_approval": "Awaiting approval",
    "data_refused": "Data refused",
    "model_refused": "Model refused",
    "failed": "Failed",
}
# Badges of unfinished runs, by whether they are alive.
_UNENDED = {True: ("busy", "Running"), False: ("bad", "Killed"), None: ("busy", "Unfinished")}


@dataclasses.dataclass(frozen=True)
class Tile:
    """A figure with its name and a note."""

    name: str
    value: str
    note: str = ""


@dataclasses.dataclass(frozen=True)
class VerdictBanner:
    """A badge, a headline, sentences, the reason of a refusal as on the console, and tiles."""

    tone: str
    badge: str
    headline: str
    sentences: Sequence[str]
    reason: str | None
    tiles: Sequence[Tile]


def verdict(run: Run) -> VerdictBanner:
    """Returns the result of the run. Requires only its record."""
    status = run.summary["status"]
    tone, badge = _UNENDED[run.progress.alive] if run.progress else (_TONES[status], _BADGES[status])
    return VerdictBanner(
        tone=tone,
        badge=badge,
        headline=_headline(run),
        sentences=list(_sentences(run)),
        reason=run.summary.get("error"),
        tiles=list(_tiles(run)),
    )


def _headline(run: Run) -> str:
    summary = run.summary
    if run.progress:
        return _so_far(run.progress)
    if summary["status"] == "published":
        if since := run.withdrawn:
            return f"The model was published as {summary['published']}. This version is withdrawn since {since}."
        return f"The model is published as {summary['published']}."
    if summary["status"] == "awaiting_approval":
        return f"Version {summary['awaiting']} awaits approval. The served model did not change."
    if summary["status"] == "tuned":
        return "The search for settings is complete."
    if summary["status"] == "data_refused":
        return "The data was refused before training."
    if summary["status"] == "model_refused":
        return "The model was refused. The served model did not change."
    where = f" in {run.failed_node}" if run.failed_node else ""
    if summary.get("published"):
        return f"The run failed{where}, after it published the model as {summary['published']}."
    return f"The run failed{where}. The served model did not change."


def _so_far(progress: Progress) -> str:
    """Describes an unfinished run as of now."""
    if progress.alive:
        return f"The run is in progress, {progress.place}."
    at = f" at {progress.node}" if progress.node else ""
    if progress.alive is None:
        return f"The run was unfinished{at} when this report was written."
    return f"The run was killed{at}{progress.why_killed}."


def _sentences(run: Run) -> Iterator[str]:
    if run.progress and run.progress.alive:
        now = moment(datetime.now(timezone.utc))
        yield f"This was the state at {now}. Run kindred report {run.summary['run_id']} to update it."
    elif run.progress and run.progress.alive is False:
        yield "Rerun the command to resume. Finished components are reused."
    rules = run.summary["blessing"]
    if rules:
        held = sum(rule["ok"] for rule in rules)
        if held == len(rules):
            yield {1: "The blessing rule holds.", 2: "Both blessing rules hold."}.get(
                held, f"All {held} blessing rules hold."
            )
        else:
            broken = next(rule for rule in rules if not rule["ok"])
            verb = "does" if len(rules) - held == 1 else "do"
            yield f"{len(rules) - held} of {len(rules)} blessing rules {verb} not hold: {broken['rule']}."
    if lists := run.summary.get("lists"):
        rows = sum(counts["rows"] for counts in lists["counts"].values())
        yield f"Lists of all entities, {words.count(rows)} rows, are in {lists['path']}."
    figure = headline_figure(run)
    if figure is not None:
        yield _against_baseline(figure)
    tested = canary(run)
    if tested and run.summary["status"] == "published":
        yield (
            f"The serving test with {tested['binary']} passed {len(tested['tested'])} checks. "
            f"It answered 99 of 100 requests within {tested['latency_ms']['p99']:.1f} ms."
        )


def canary(run: Run) -> dict[str, Any] | None:
    """Returns the tests of the serving canary, or None if it did not finish."""
    try:
        path = Path(run.uri(node_ids.CANARY, "blessing"), "canary.json")
    except Absent:
        return None
    if not path.is_file():
        return None
    tested: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return tested


def headline_figure(run: Run) -> Figure | None:
    """Returns the figure of the first rule's metric on all rows, or of the first configured metric."""
    try:
        overall = {figure.metric: figure for figure in run.verdict.figures if not figure.slice}
    except Absent:
        return None
    metrics = [rule.rule.split()[0] for rule in run.verdict.rules] + list(run.summary["metrics"])
    return next((overall[name] for name in metrics if name in overall), None)


def _against_baseline(figure: Figure) -> str:
    sentence = f"On held-out pairs, its {_name(figure.metric)} is {words.figure(figure.value)}"
    if figure.low is not None and figure.high is not None:
        sentence += f" (95 % interval {words.figure(figure.low)} to {words.figure(figure.high)})"
    other = figure.others.get(POPULARITY if is_ranking(figure.metric) else MEAN)
    if other is None or other.value is None or figure.value is None:
        return sentence + "."
    baseline = "ranking by popularity" if is_ranking(figure.metric) else "always predicting the mean"
    better = (figure.value < other.value) == (figure.metric in ERRORS)
    reaches = f"reaches {words.figure(other.value)}, which is {'worse' if better else 'not worse'}"
    return f"{sentence}. The baseline, {baseline}, {reaches}."


def _name(metric: str) -> str:
    return metric.upper() if metric in ("rmse", "mae", "auc") else metric


def _tiles(run: Run) -> Iterator[Tile]:
    data = run.summary["data"]
    if data:
        set_aside = data["quarantined"]
        yield Tile("pairs kept", words.count(sum(data["splits"].values())), f"{words.count(set_aside)} quarantined")
    if "left_entities" in data:
        pairs = data["left_entities"] * data["right_entities"]
        seen = sum(data["splits"].values()) / pairs if pairs else 0
        value = f"{words.count(data['left_entities'])} × {words.count(data['right_entities'])}"
        yield Tile("entities, left × right", value, f"{words.share(seen)} of all pairs are in the data")
    figure = headline_figure(run)
    if figure is not None and figure.value is not None:
        other = figure.others.get(POPULARITY if is_ranking(figure.metric) else MEAN)
        note = f"baseline {words.figure(other.value)}" if other else ""
        yield Tile(f"{_name(figure.metric)} on held-out pairs", words.figure(figure.value), note)
    rules = run.summary["blessing"]
    if rules:
        yield Tile("rules that hold", f"{sum(rule['ok'] for rule in rules)} of {len(rules)}")
    components = run.summary["components"]
    cached = sum(component["state"] == "cached" for component in components)
    yield Tile(
        "time so far" if run.progress else "time",
        words.seconds(run.summary["seconds"]),
        f"{cached} of {len(components)} components from cache",
    )
