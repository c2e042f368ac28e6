"""The rules of a replay: a figure of the comparison and its bound."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

from components.replay.settings import ReplaySettings


@dataclasses.dataclass(frozen=True)
class ReplayRule:
    """The result of one rule.

    Attributes:
      key: key of the section `publish.replay`.
      value: the figure, or None if no request has it.
      bound: bound of the figure.
      words: what the figure is.
    """

    key: str
    value: float | None
    bound: float
    words: str

    @property
    def ok(self) -> bool:
        """Whether the rule holds. It does if there is nothing to compare."""
        if self.value is None:
            return True
        return self.value >= self.bound if self.key.startswith("min_") else self.value <= self.bound

    def record(self) -> dict[str, Any]:
        """Returns the JSON object of the rule."""
        return {"rule": f"publish.replay.{self.key}", "value": self.value, "bound": self.bound, "ok": self.ok}

    def __str__(self) -> str:
        relation = "below" if self.key.startswith("min_") else "above"
        return f"publish.replay.{self.key}: {self.words} is {self.value:.4g}, {relation} {self.bound:g}"


def judge(figures: dict[str, Any], settings: ReplaySettings) -> list[ReplayRule]:
    """Returns the result of each rule of the pipeline file.

    Args:
      figures: the figures of `Comparison.figures`, or none if nothing was replayed.
      settings: the bounds.
    """
    return [
        ReplayRule(key, value, bound, words)
        for key, value, words in _figures(figures)
        if (bound := getattr(settings, key)) is not None and (key, bound) != ("min_requests", 0)
    ]


def _figures(figures: dict[str, Any]) -> Iterator[tuple[str, float | None, str]]:
    compared, failed = figures.get("compared", 0), figures.get("failed", 0)
    answered = compared + failed

    def value(part: str, name: str) -> float | None:
        found: float | None = figures.get(part, {}).get(name)
        return found

    yield "min_requests", compared, "the number of compared requests"
    yield "max_failed", failed / answered if answered else None, "the share of requests that only the candidate refuses"
    yield "max_score_change", value("scores", "mean_change"), "the mean change of a score"
    yield "max_sign_changes", value("scores", "sign_changes"), "the share of scores with another sign"
    yield "min_rank_overlap", value("rankings", "overlap"), "the share of ids that both rankings have"
    yield "max_lost_ids", value("ids", "lost"), "the share of ids that only the candidate does not know"
    yield "max_latency_ratio", value("latency", "ratio"), "the time, divided by that of the served version,"
