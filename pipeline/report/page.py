"""Renders a run as HTML: sections in order, each with its content or the reason why it is empty."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
import traceback
from collections.abc import Callable
from typing import Any

import jinja2
from markupsafe import Markup

from pipeline.records import node_ids
from pipeline.report import data, learning, provenance, quality, replayed, searched, space, words, worst_pairs
from pipeline.report.sources import Absent, Run
from pipeline.report.verdict import verdict


@dataclasses.dataclass(frozen=True)
class ReportSection:
    """A section: anchor, heading, introduction, and the builder and template of its content."""

    id: str
    title: str
    lead: str
    build: Callable[[Run], Any]
    template: str


SECTIONS = (
    ReportSection("data", "Data", "The input rows, by split.", data.arrived, "data.html"),
    ReportSection(
        "quarantine", "Quarantine", "Rows that break a rule of the pipeline file, with file and place.",
        data.set_aside, "quarantine.html",
    ),
    ReportSection(
        "checks", "Data checks", "Broken rules stop the run before training.",
        lambda run: _checks(run), "checks.html",
    ),
    ReportSection(
        "distributions", "Distributions",
        "Compare train with eval, and see how unevenly pairs are distributed over entities.", data.distributions,
        "charts.html",
    ),
    ReportSection("tuning", "Trials", "Tested settings, best first.", searched.tuned, "trials.html"),
    ReportSection(
        "settings", "Choice of settings", "What the Trainer tried and chose on held-out training rows.",
        searched.searched, "searched.html",
    ),
    ReportSection(
        "learning", "Training", "Training losses by epoch.", learning.learning, "learning.html"
    ),
    ReportSection(
        "metrics", "Score metrics",
        "Held-out pairs, compared with other models on the same rows. Intervals are over left entities.",
        quality.scores, "metrics.html",
    ),
    ReportSection(
        "ranking", "Ranking metrics",
        "Rankings of the whole catalog for each left entity, without training pairs. Higher is better.",
        quality.rankings, "metrics.html",
    ),
    ReportSection(
        "blessing", "Blessing", "Rules of the pipeline file. All must hold.", quality.blessing,
        "blessing.html",
    ),
    ReportSection(
        "replay", "Replay", "Logged requests, answered by the candidate and by the served version.", replayed.replayed,
        "replay.html",
    ),
    ReportSection(
        "worst", "Largest errors", "Held-out pairs, worst first. Causes are bad data or missing information.",
        worst_pairs.worst_pairs, "worst.html",
    ),
    ReportSection(
        "map", "Embedding map",
        "The most frequent entities on the first two principal components of their vectors.", space.embedding_map,
        "map.html",
    ),
    ReportSection(
        "neighbors", "Neighbors of frequent entities",
        "Check whether they make sense. Errors are easiest to see for the most frequent entities.", space.neighbors,
        "neighbors.html",
    ),
    ReportSection("timings", "Timings", "Duration of each component.", provenance.timings, "timings.html"),
    ReportSection(
        "lineage", "Lineage", "Data, code and settings, from ML Metadata.", provenance.provenance,
        "lineage.html",
    ),
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Part:
    """A section of a run: its content, or the reason why it is empty."""

    section: ReportSection
    content: Any
    absent: str | None


def _checks(run: Run) -> Any:
    checks = run.summary["data"].get("checks")
    if not checks:
        raise Absent(run.why_not(node_ids.GATE))
    return run.summary["data"]


def parts(run: Run) -> list[Part]:
    """Builds every section of the report of `run`. An error affects only its own section."""
    asked = {
        "tuning": run.config.get("tune"),
        "settings": run.summary.get("search"),
        "replay": run.summary.get("replay"),
    }
    built = [_part(section, run) for section in SECTIONS if asked.get(section.id, True)]
    # A search for settings ends at the Tuner, so that the sections after it have nothing to say.
    return [part for part in built if not part.absent] if run.summary["status"] == "tuned" else built


def _part(section: ReportSection, run: Run) -> Part:
    try:
        return Part(section, section.build(run), None)
    except Absent as reason:
        return Part(section, None, str(reason))
    except Exception as error:
        traceback.print_exc()
        return Part(
            section,
            None,
            f"This section could not be created ({type(error).__name__}: {error}). See run.log for details.",
        )


def render(run: Run) -> str:
    """Renders the report.

    Args:
      run: the record and the artifacts of a run (`pipeline.report.sources.Run.of`).

    Returns:
      A complete HTML document, without external files.
    """
    return environment().get_template("report.html").render(run=run, verdict=verdict(run), parts=parts(run))


def environment() -> jinja2.Environment:
    """Returns the environment of the templates."""
    made = jinja2.Environment(
        loader=jinja2.PackageLoader("pipeline.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "count": words.count, "figure": words.figure, "seconds": words.seconds, "size": words.size,
        "moment": words.moment, "short": words.short, "share": words.share, "data": as_data, "csp_hash": _csp_hash,
    }  # fmt: skip
    made.globals["asset"] = lambda name: Markup(_source(made, name))
    return made


def _source(environment: jinja2.Environment, name: str) -> str:
    """Returns a static file: a stylesheet or a script."""
    assert environment.loader
    return environment.loader.get_source(environment, name)[0]


def _csp_hash(script: str) -> str:
    """Returns the script's hash for the content security policy, which blocks all other scripts."""
    return f"sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}"


def as_data(value: Any) -> Markup:
    """Returns JSON for a <script type="application/json">. It cannot end the element or begin a comment."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)
