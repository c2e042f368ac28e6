"""Blessing rules and their results."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, NamedTuple

import pydantic
from pydantic import AfterValidator, StrictStr

from components.evaluator.figures import BIASES, LAST_BLESSED, MEAN, POPULARITY, Comparison, Figure, find
from components.evaluator.names import ERRORS, check_metric, check_slice, is_approximate, is_ranking
from components.evaluator.slices import OVERALL, SLICES
from sections import Number, Section

# A model may lose this share of what the last blessed model gains over the baseline.
TOLERANCE = 0.01

Metric = Annotated[StrictStr, AfterValidator(check_metric)]
Other = Literal["baseline", "biases", "popularity", "last_blessed"]


class Rule(Section):
    """A condition on a metric, on all rows or on a slice, that a model must meet. Exactly one bound is set.

    `below` and `above` are strict. `better_than` judges the 95 % interval of the advantage over another model on the
    same rows. A baseline must be beaten: the whole interval is above `margin`. The last blessed model must not be
    missed: not the whole interval is below `margin`, which is a loss of `TOLERANCE` by default. A positive margin must
    be reached beyond noise. Lower is better for `rmse`, `mae` and `calibration`. Higher is better for other metrics.
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
        if is_approximate(self.metric) and self.better_than:
            raise ValueError(f"better_than: {self.metric} is a share of the exact ranking. Use above: NUMBER")
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
    def baseline(self) -> str:
        """The simplest model to compare with: popularity for rankings, the constant mean for other metrics."""
        return POPULARITY if is_ranking(self.metric) else MEAN

    @property
    def must_beat(self) -> bool:
        """Whether the advantage must be beyond noise. Otherwise only a loss must not be beyond noise."""
        return self.better_than != LAST_BLESSED or (self.margin or 0.0) > 0

    @property
    def other(self) -> str | None:
        """The model to compare with, by its name in figures."""
        return self.baseline if self.better_than == "baseline" else self.better_than

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
        if self.margin:
            worse = f"at most {-self.margin:g} worse than {other}"
            return f"{subject} {worse if self.margin < 0 else f'better than {other} by {self.margin:g}'}"
        return f"{subject} {'no worse' if self.other == LAST_BLESSED else 'better'} than {other}"


@dataclasses.dataclass(frozen=True)
class RuleResult:
    """A rule with its measured value, the 95 % interval and the bound.

    The rule holds without rows (the slice is empty) and without a model to compare with. `difference` is the interval
    of the value minus the other model's value. It decides about rules that compare. `missing` is why there is no value
    or no interval. `beats_last` is whether the model is better than the last blessed one by more than the tolerance and
    twice the noise, or None if the rule does not compare with it.
    """

    rule: str
    value: float | None
    bound: float | None
    ok: bool
    interval: tuple[float | None, float | None] = (None, None)
    difference: tuple[float | None, float | None] = (None, None)
    missing: str | None = None
    beats_last: bool | None = None

    @classmethod
    def of_summary(cls, entry: Mapping[str, Any]) -> RuleResult:
        """Reads an entry of `blessing` in summary.json."""
        low, high = entry.get("interval", (None, None))
        return cls(
            entry["rule"], entry["value"], entry["bound"], entry["ok"],
            difference=(low, high), missing=entry.get("missing"),
        )  # fmt: skip

    def to_summary(self) -> dict[str, Any]:
        """Returns the entry of `blessing` in summary.json, with the interval of the difference that decided."""
        optional: dict[str, Any] = {"missing": self.missing} if self.missing else {}
        if None not in self.difference:
            optional |= {"interval": list(self.difference)}
        return {"rule": self.rule, "value": self.value, "bound": self.bound, "ok": self.ok} | optional

    @property
    def texts(self) -> RuleTexts:
        """The result as text, shared by console, report, task summary and `--why`."""
        return RuleTexts(
            value=self.missing or "no rows" if self.value is None else f"{self.value:.4f}",
            interval=_interval_text(self.interval) if self.value is not None else "",
            bound="nothing to compare with" if self.bound is None else f"{self.bound:.4f}",
            difference=_interval_text(self.difference),
            verdict="ok" if self.ok else f"NOT MET{self._doubt}",
        )

    @property
    def _doubt(self) -> str:
        if self.value is not None and self.missing:
            return f": {self.missing}"
        low, high = self.difference
        return ", the difference may be noise" if low is not None and high is not None and low <= 0 <= high else ""

    def __str__(self) -> str:
        texts = self.texts
        value = f"{texts.value} {texts.interval}".rstrip()
        if self.bound is not None:
            value += f", bound {texts.bound}"
        elif self.ok:
            value += f", {texts.bound}"
        difference = f", difference {texts.difference}" if texts.difference else ""
        return f"{self.rule}: {value}{difference}: {texts.verdict}"


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
    if rule.other is None:
        bound = rule.below if rule.below is not None else rule.above
        # A metric that cannot be measured proves nothing. A slice without rows is no reason to refuse.
        ok = not figure.count if figure.value is None else _within(rule, figure.value)
        return RuleResult(str(rule), figure.value, bound, ok, (figure.low, figure.high), missing=figure.missing)
    other = figure.others.get(rule.other)
    if other is None or other.value is None:
        ok = figure.value is not None or not figure.count or other is None
        return RuleResult(str(rule), figure.value, None, ok, (figure.low, figure.high), missing=figure.missing)
    return _compare(rule, figure, other, other.value)


def _within(rule: Rule, value: float) -> bool:
    return value < rule.below if rule.below is not None else rule.above is not None and value > rule.above


def _compare(rule: Rule, figure: Figure, other: Comparison, its_value: float) -> RuleResult:
    """Returns the result of a rule that compares with another model, whose value is `its_value`."""
    sign = -1.0 if rule.metric in ERRORS else 1.0
    tolerance = _tolerance(rule, figure, its_value)
    margin = rule.margin if rule.margin is not None else 0.0 if rule.must_beat else -tolerance
    result = RuleResult(
        str(rule), figure.value, its_value + sign * margin, False, (figure.low, figure.high), (other.low, other.high),
        figure.missing,
    )  # fmt: skip
    if figure.value is None:
        return dataclasses.replace(result, ok=not figure.count)
    if other.low is None or other.high is None:
        return dataclasses.replace(result, missing=_NO_INTERVAL)
    low, high = sorted((sign * other.low, sign * other.high))
    ok = low > margin if rule.must_beat else high >= margin
    # Twice the width, because the bar would rise with the luckiest of many models.
    beats_last = (low + high) / 2 - (high - low) > tolerance
    return dataclasses.replace(result, ok=ok, beats_last=beats_last if rule.other == LAST_BLESSED else None)


_NO_INTERVAL = "all eval rows are of one left entity, so there is no interval"


def _tolerance(rule: Rule, figure: Figure, its_value: float) -> float:
    baseline = figure.others.get(rule.baseline)
    return 0.0 if baseline is None or baseline.value is None else TOLERANCE * abs(its_value - baseline.value)
