"""Blessing rules and their results."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, NamedTuple

import pydantic
from pydantic import AfterValidator, StrictStr

from components.evaluator.figures import BIASES, LAST_BLESSED, MEAN, POPULARITY, Figure, find
from components.evaluator.names import ERRORS, check_metric, check_slice, is_ranking
from components.evaluator.slices import OVERALL, SLICES
from sections import Number, Section

Metric = Annotated[StrictStr, AfterValidator(check_metric)]
Other = Literal["baseline", "biases", "popularity", "last_blessed"]


class Rule(Section):
    """A condition on a metric, on all rows or on a slice, that a model must meet. Exactly one bound is set.

    `below` and `above` are strict. `better_than` a baseline requires an advantage greater than `margin`. `better_than:
    last_blessed` requires an advantage of at least `margin`: 0 means no worse, and a negative margin allows a loss of
    that size. Lower is better for `rmse`, `mae` and `calibration`. Higher is better for all other metrics.
    """

    metric: Metric
    slice: Literal[SLICES] | None = None  # type: ignore[valid-type]
    below: Number | None = None
    above: Number | None = None
    better_than: Other | None = None
    margin: Number | None = None

    @pydantic.model_validator(mode="after")
    def _one_bound(self) -> Rule:
        bounds = [self.below is not None, self.above is not None, self.better_than is not None]
        if sum(bounds) != 1:
            raise ValueError("a rule has exactly one of below, above, better_than")
        if self.margin is not None and self.better_than is None:
            raise ValueError("margin goes with better_than only")
        return self

    @pydantic.model_validator(mode="after")
    def _measured(self) -> Rule:
        if self.slice is not None:
            check_slice(self.metric, self.slice)
        if self.metric.startswith("coverage"):
            raise ValueError("coverage is reported, and no rule can use it: it has no interval")
        if self.better_than == ("biases" if is_ranking(self.metric) else "popularity"):
            raise ValueError(f"better_than: {self.better_than} is no baseline of {self.metric}")
        return self

    @property
    def of_slice(self) -> str:
        """The slice as figures name it. Without one it is all rows."""
        return self.slice or OVERALL

    @property
    def advantage(self) -> float:
        """The required advantage; 0 without a margin."""
        return self.margin or 0.0

    @property
    def other(self) -> str | None:
        """The model to compare with, by its name in figures: popularity for rankings, the mean for other baselines."""
        if self.better_than == "baseline":
            return POPULARITY if is_ranking(self.metric) else MEAN
        return self.better_than

    def __str__(self) -> str:
        subject = f"{self.metric} on {self.slice}" if self.slice else self.metric
        if self.below is not None:
            return f"{subject} below {self.below:g}"
        if self.above is not None:
            return f"{subject} above {self.above:g}"
        other = {
            MEAN: "constant-mean baseline", BIASES: "biases alone", POPULARITY: "popularity baseline",
            LAST_BLESSED: "last blessed model",
        }[str(self.other)]  # fmt: skip
        if self.advantage > 0:
            return f"{subject} better than {other} by {self.advantage:g}"
        if self.advantage < 0:
            return f"{subject} at most {-self.advantage:g} worse than {other}"
        return f"{subject} {'no worse' if self.other == LAST_BLESSED else 'better'} than {other}"


@dataclasses.dataclass(frozen=True)
class RuleResult:
    """A rule with its measured value, the 95 % interval and the bound.

    The rule holds without rows (the slice is empty) and without a model to compare with. `difference` is the interval
    of the value minus the other model's value. `missing` is why there is no value.
    """

    rule: str
    value: float | None
    bound: float | None
    ok: bool
    interval: tuple[float | None, float | None] = (None, None)
    difference: tuple[float | None, float | None] = (None, None)
    missing: str | None = None

    @classmethod
    def of_summary(cls, entry: Mapping[str, Any]) -> RuleResult:
        """Reads an entry of `blessing` in summary.json."""
        return cls(entry["rule"], entry["value"], entry["bound"], entry["ok"], missing=entry.get("missing"))

    def to_summary(self) -> dict[str, Any]:
        """Returns the entry of `blessing` in summary.json. Intervals are only in the Evaluator's file."""
        missing = {"missing": self.missing} if self.missing else {}
        return {"rule": self.rule, "value": self.value, "bound": self.bound, "ok": self.ok} | missing

    @property
    def texts(self) -> RuleTexts:
        """The result as text, shared by console, report, task summary and `--why`."""
        return RuleTexts(
            value=self.missing or "no rows" if self.value is None else f"{self.value:.4f}",
            interval=_interval_text(self.interval) if self.value is not None else "",
            bound="nothing to compare with" if self.bound is None else f"{self.bound:.4f}",
            difference=_interval_text(self.difference),
            verdict="ok" if self.ok else "NOT MET",
        )

    def __str__(self) -> str:
        texts = self.texts
        value = f"{texts.value} {texts.interval}".rstrip()
        if self.bound is not None:
            value += f", bound {texts.bound}"
        elif self.ok:
            value += f", {texts.bound}"
        return f"{self.rule}: {value}: {texts.verdict}"


class RuleTexts(NamedTuple):
    """Parts of a rule's result as text. An unknown interval is empty."""

    value: str
    interval: str
    bound: str
    difference: str
    verdict: str


def _interval_text(interval: tuple[float | None, float | None]) -> str:
    low, high = interval
    return "" if low is None or high is None else f"[{low:.4f}, {high:.4f}]"


def judge(rules: Sequence[Rule], figures: Sequence[Figure]) -> list[RuleResult]:
    """Returns the result of every rule.

    Raises:
      KeyError: the figure of a rule is missing.
    """
    return [_judge(rule, find(figures, rule.metric, rule.of_slice)) for rule in rules]


def _judge(rule: Rule, figure: Figure) -> RuleResult:
    other = figure.others.get(rule.other) if rule.other else None
    bound = _bound(rule, other.value if other else None)
    ok = figure.value is None or bound is None or _holds(rule, figure.value, bound)
    # A metric that cannot be measured proves nothing, unless there is no model to compare with.
    if figure.value is None and figure.count and (other or not rule.other):
        ok = False
    difference = (other.low, other.high) if other else (None, None)
    return RuleResult(str(rule), figure.value, bound, ok, (figure.low, figure.high), difference, figure.missing)


def _bound(rule: Rule, other: float | None) -> float | None:
    """Returns the number that the metric must stay below or above."""
    if rule.better_than is None:
        return rule.below if rule.below is not None else rule.above
    if other is None:
        return None
    return other - rule.advantage if rule.metric in ERRORS else other + rule.advantage


def _holds(rule: Rule, value: float, bound: float) -> bool:
    if rule.below is not None or (rule.better_than is not None and rule.metric in ERRORS):
        advantage = bound - value
    else:
        advantage = value - bound
    return advantage >= 0 if rule.better_than == LAST_BLESSED else advantage > 0
