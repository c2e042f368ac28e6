"""From a run to HTML: its sections in order, each with what it shows or the reason why there is nothing to show."""

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

from pipeline.report import data, learning, provenance, quality, space, words
from pipeline.report.sources import Absent, Run
from pipeline.report.verdict import verdict


@dataclasses.dataclass(frozen=True)
class Section:
    """A section: its anchor, heading, the sentence below it, and the template of what it shows."""

    id: str
    title: str
    lead: str
    build: Callable[[Run], Any]
    template: str


SECTIONS = (
    Section("data", "What came in", "The rows that were read, as splits.", data.arrived, "data.html"),
    Section(
        "quarantine", "What was set aside", "Rows that break a rule of the pipeline file, with file and place.",
        data.set_aside, "quarantine.html",
    ),
    Section(
        "checks", "What the gate checked", "Data that break a rule stop the run before anything is trained.",
        lambda run: _checks(run), "checks.html",
    ),
    Section(
        "distributions", "What the data are like",
        "Whether train and eval are alike, and how unevenly pairs fall on entities.", data.distributions,
        "charts.html",
    ),
    Section("tuning", "Trials", "Settings that were tried, best first.", learning.trials, "trials.html"),
    Section(
        "learning", "How it learned", "What training minimised, epoch by epoch.", learning.learning, "learning.html"
    ),
    Section(
        "metrics", "How good its scores are",
        "On held-out pairs, beside other models on the same rows. Intervals come from drawing left entities anew.",
        quality.scores, "metrics.html",
    ),
    Section(
        "ranking", "How good its rankings are",
        "Of the whole catalogue for each left entity, without what training has seen. Higher is better.",
        quality.rankings, "metrics.html",
    ),
    Section(
        "blessing", "Why it was blessed, or not", "Every rule of the pipeline file; all must hold.", quality.blessing,
        "blessing.html",
    ),
    Section(
        "worst", "Where it is most wrong", "Held-out pairs, worst first: bad data, or what the model cannot know.",
        quality.worst_pairs, "worst.html",
    ),
    Section(
        "map", "Map of the embeddings",
        "The most frequent entities on the plane on which their vectors are spread most.", space.embedding_map,
        "map.html",
    ),
    Section(
        "neighbors", "Neighbours of well-known entities",
        "Does it make sense? The most frequent entities, where errors are easiest to see.", space.neighbors,
        "neighbors.html",
    ),
    Section("timings", "Where the time went", "Each component in turn.", provenance.timings, "timings.html"),
    Section(
        "lineage", "What it was made of", "Data, code and settings, as ML Metadata have them.", provenance.provenance,
        "lineage.html",
    ),
)  # fmt: skip

# Sections that are left out where a run was not asked for them.
_ON_DEMAND = ("tuning",)


@dataclasses.dataclass(frozen=True)
class Part:
    """A section of one run: what it shows, or why it shows nothing."""

    section: Section
    content: Any
    absent: str | None


def _checks(run: Run) -> Any:
    checks = run.summary["data"].get("checks")
    if not checks:
        raise Absent(run.why_not("DataGate"))
    return run.summary["data"]


def parts(run: Run) -> list[Part]:
    """Every section of the report of `run`; one that cannot be made says so, and the others are made all the same."""
    return [_part(section, run) for section in SECTIONS if section.id not in _ON_DEMAND or run.config.get("tune")]


def _part(section: Section, run: Run) -> Part:
    try:
        return Part(section, section.build(run), None)
    except Absent as reason:
        return Part(section, None, str(reason))
    except Exception as error:
        traceback.print_exc()
        return Part(
            section, None, f"This could not be made ({type(error).__name__}: {error}); run.log has the details."
        )


def render(run: Run) -> str:
    """The whole file."""
    return _environment().get_template("report.html").render(run=run, verdict=verdict(run), parts=parts(run))


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("pipeline.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "count": words.count, "figure": words.figure, "seconds": words.seconds, "size": words.size,
        "moment": words.moment, "short": words.short, "share": words.share, "data": as_data, "csp_hash": _csp_hash,
    }  # fmt: skip
    environment.globals["asset"] = lambda name: Markup(_source(environment, name))
    return environment


def _source(environment: jinja2.Environment, name: str) -> str:
    """A file of our own as it stands: a stylesheet, a script."""
    assert environment.loader
    return environment.loader.get_source(environment, name)[0]


def _csp_hash(script: str) -> str:
    """The script as the content security policy names it: no other one may run."""
    return f"sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}"


def as_data(value: Any) -> Markup:
    """JSON for a <script type="application/json">: no character in it can end the element or begin a comment."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)
