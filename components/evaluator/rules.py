"""Blessing rules, and how each is judged."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

from components.evaluator.figures import BIASES, LAST_BLESSED, MEAN, POPULARITY, Figure, find
from components.evaluator.names import ERRORS, is_ranking

Other = Literal["baseline", "biases", "popularity", "last_blessed"]


@dataclasses.dataclass(frozen=True)
class Rule:
    """One condition on a metric, of all rows or of a slice; exactly one of the bounds is set.

    `below` and `above` are strict. `better_than` a baseline asks for more than `margin` of an advantage; `better_than:
    last_blessed` for an advantage of at least `margin` (0: no worse; negative: worse by at most that much). Better is
    lower for `rmse`, `mae` and `calibration`, and higher for all else.
    """

    metric: str
    below: float | None = None
    above: float | None = None
    better_than: Other | None = None
    margin: float = 0.0
    slice: str = ""

    @property
    def other(self) -> str | None:
        """The model to compare with, as figures name it: the baseline of a ranking is popularity, else the mean."""
        if self.better_than == "baseline":
            return POPULARITY if is_ranking(self.metric) else MEAN
        return self.better_than

    def __str__(self) -> str:
        what = f"{self.metric} on {self.slice}" if self.slice else self.metric
        if self.below is not None:
            return f"{what} below {self.below:g}"
        if self.above is not None:
            return f"{what} above {self.above:g}"
        other = {
            MEAN: "constant-mean baseline", BIASES: "biases alone", POPULARITY: "popularity baseline",
            LAST_BLESSED: "last blessed model",
        }[str(self.other)]  # fmt: skip
        if self.margin > 0:
            return f"{what} better than {other} by {self.margin:g}"
        if self.margin < 0:
            return f"{what} at most {-self.margin:g} worse than {other}"
        return f"{what} {'no worse' if self.other == LAST_BLESSED else 'better'} than {other}"


@dataclasses.dataclass(frozen=True)
class RuleResult:
    """One rule with the value it judged, its 95 % interval and the bound.

    Without a value its slice has no rows, without a bound there was nothing to compare with: then the rule holds.
    `difference` is the interval of the value minus the other model's.
    """

    rule: str
    value: float | None
    bound: float | None
    ok: bool
    interval: tuple[float | None, float | None] = (None, None)
    difference: tuple[float | None, float | None] = (None, None)

    @classmethod
    def of_summary(cls, entry: Mapping[str, Any]) -> RuleResult:
        """The result that an entry of `blessing` in summary.json holds."""
        return cls(entry["rule"], entry["value"], entry["bound"], entry["ok"])

    def to_summary(self) -> dict[str, Any]:
        """The entry of `blessing` in summary.json. Intervals are in the Evaluator's own file."""
        return {"rule": self.rule, "value": self.value, "bound": self.bound, "ok": self.ok}

    @property
    def texts(self) -> RuleTexts:
        """The result in words. Console, report, task summary and `--why` all show these."""
        return RuleTexts(
            value="no rows" if self.value is None else f"{self.value:.4f}",
            interval=_interval_text(self.interval) if self.value is not None else "",
            bound="nothing to compare with" if self.bound is None else f"{self.bound:.4f}",
            difference=_interval_text(self.difference),
            verdict="ok" if self.ok else "NOT MET",
        )

    def __str__(self) -> str:
        texts = self.texts
        value = f"{texts.value} {texts.interval}".rstrip()
        bound = texts.bound if self.bound is None else f"bound {texts.bound}"
        return f"{self.rule}: {value}, {bound}: {texts.verdict}"


class RuleTexts(NamedTuple):
    """The parts of a rule's result in words. An interval that is not known is empty."""

    value: str
    interval: str
    bound: str
    difference: str
    verdict: str


def _interval_text(interval: tuple[float | None, float | None]) -> str:
    low, high = interval
    return "" if low is None or high is None else f"[{low:.4f}, {high:.4f}]"


def judge(rules: Sequence[Rule], figures: Sequence[Figure]) -> list[RuleResult]:
    """The result of every rule.

    Raises:
      KeyError: nobody measured what a rule asks for.
    """
    return [_judge(rule, find(figures, rule.metric, rule.slice)) for rule in rules]


def _judge(rule: Rule, figure: Figure) -> RuleResult:
    other = figure.others.get(rule.other) if rule.other else None
    bound = _bound(rule, other.value if other else None)
    ok = figure.value is None or bound is None or _holds(rule, figure.value, bound)
    # Where the model has no value but another one has, as of a constant, it is not the better one.
    if figure.value is None and figure.count:
        ok = False
    difference = (other.low, other.high) if other else (None, None)
    return RuleResult(str(rule), figure.value, bound, ok, (figure.low, figure.high), difference)


def _bound(rule: Rule, other: float | None) -> float | None:
    """The number that the metric has to stay below or above."""
    if rule.better_than is None:
        return rule.below if rule.below is not None else rule.above
    if other is None:
        return None
    return other - rule.margin if rule.metric in ERRORS else other + rule.margin


def _holds(rule: Rule, value: float, bound: float) -> bool:
    if rule.below is not None or (rule.better_than is not None and rule.metric in ERRORS):
        advantage = bound - value
    else:
        advantage = value - bound
    return advantage >= 0 if rule.better_than == LAST_BLESSED else advantage > 0
