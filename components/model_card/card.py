"""Renders a model card from facts about a model."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import jinja2

from components.evaluator.evaluation import Evaluation
from components.evaluator.figures import Figure
from components.evaluator.names import ERRORS
from components.model_card.settings import CardSettings
from trainer.index.facts import IndexFacts
from trainer.search.choice import Choice

CARD_FILE = "model_card.md"
# Slices with fewer rows are too noisy to show.
_FEW = 30


@dataclasses.dataclass(frozen=True)
class Facts:
    """Facts about a model.

    Attributes:
      settings: settings from the pipeline file.
      rows: number of rows of each split.
      quarantined: number of bad rows.
      entities: number of distinct training entities of each side.
      span: span of the data, if any.
      files: (path, digest) of each input file.
      choice: the settings that the Trainer tried and chose, if any.
      index: the index of approximate rankings, if any.
      history: value of each training measure after each epoch.
      warm_start: the Trainer's notes about the warm start, if any.
      evaluation: results of the Evaluator.
      versions: version of each library.
    """

    settings: CardSettings
    rows: Mapping[str, int]
    quarantined: int
    entities: Mapping[str, int]
    span: int | None
    files: Sequence[tuple[str, str]]
    choice: Choice | None
    index: IndexFacts | None
    history: Mapping[str, Sequence[float]]
    warm_start: Mapping[str, Any] | None
    evaluation: Evaluation
    versions: Mapping[str, str]

    @property
    def scored(self) -> bool:
        """Whether the pairs have scores. Otherwise they are positives."""
        return self.settings.data["columns"]["score"] is not None

    @property
    def epochs(self) -> int:
        """Number of trained epochs."""
        return max(map(len, self.history.values()), default=0)

    @property
    def overall(self) -> list[Figure]:
        """Figures on all held-out rows."""
        return [figure for figure in self.evaluation.figures if not figure.slice]

    @property
    def weak_slices(self) -> list[Figure]:
        """Figures of the first rule's metric, or of the first metric, on slices, worst first."""
        judged = [rule.rule.split()[0] for rule in self.evaluation.rules] + [figure.metric for figure in self.overall]
        metric = judged[0] if judged else ""
        sliced = [f for f in self.evaluation.figures if f.metric == metric and f.slice and f.value is not None]
        shown = [figure for figure in sliced if figure.count >= _FEW]
        return sorted(shown, key=lambda figure: figure.value or 0.0, reverse=metric in ERRORS)


def render(facts: Facts) -> str:
    """Returns the card in Markdown."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("components.model_card", ""),
        autoescape=False,  # the output is Markdown, and external text is inside code spans
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"number": _number, "count": "{:,}".format, "code": _code}
    return environment.get_template("model_card.md.jinja").render(facts=facts, settings=facts.settings)


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"


def _code(text: object) -> str:
    """Returns a code span for any text. The fence is longer than any run of backticks inside, and `|` is escaped."""
    cell = str(text).replace("\n", " ").replace("|", "\\|")
    fence = "`"
    while fence in cell:
        fence += "`"
    return f"{fence} {cell} {fence}" if "`" in cell else f"`{cell}`"
