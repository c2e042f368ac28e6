"""Section `evaluate`: what is measured, and what a model must reach to be published."""

from __future__ import annotations

from typing import Annotated, Literal

import pydantic
from pydantic import AfterValidator, StrictStr

from components.evaluator.names import SAMPLED, check_metric, check_slice, is_ranking
from components.evaluator.slices import SLICES
from pipeline.config.sections.base import Number, Section

Metric = Annotated[StrictStr, AfterValidator(check_metric)]


class BlessingRule(Section):
    """One condition that a model must meet to be published."""

    metric: Metric
    slice: Literal[SLICES] | None = None  # type: ignore[valid-type]
    below: Number | None = None
    above: Number | None = None
    better_than: Literal["baseline", "biases", "popularity", "last_blessed"] | None = None
    margin: Number | None = None

    @pydantic.model_validator(mode="after")
    def _one_bound(self) -> BlessingRule:
        bounds = [self.below is not None, self.above is not None, self.better_than is not None]
        if sum(bounds) != 1:
            raise ValueError("a rule has exactly one of below, above, better_than")
        if self.margin is not None and self.better_than is None:
            raise ValueError("margin goes with better_than only")
        return self

    @pydantic.model_validator(mode="after")
    def _measured(self) -> BlessingRule:
        if self.slice is not None:
            check_slice(self.metric, self.slice)
        if self.metric.startswith("coverage"):
            raise ValueError("coverage is reported, and no rule can use it: it has no interval")
        if self.better_than == ("biases" if is_ranking(self.metric) else "popularity"):
            raise ValueError(f"better_than: {self.better_than} is no baseline of {self.metric}")
        return self

    def __str__(self) -> str:
        what = f"{self.metric} on {self.slice}" if self.slice else self.metric
        if self.better_than is None:
            return f"{what} below {self.below:g}" if self.below is not None else f"{what} above {self.above:g}"
        margin = f" by {self.margin:g}" if self.margin else ""
        return f"{what} better than {self.better_than}{margin}"


def _distinct(rules: tuple[BlessingRule, ...]) -> tuple[BlessingRule, ...]:
    kinds = [(r.metric, r.slice, r.better_than or ("below" if r.below is not None else "above")) for r in rules]
    if len(set(kinds)) < len(kinds):
        raise ValueError("the same metric has the same kind of bound twice; keep the stricter rule")
    if not rules:
        raise ValueError("at least one rule is needed: a model is never published unproven")
    return rules


def default_rules(metric: str) -> tuple[BlessingRule, ...]:
    """What a model must reach where the file has no rules: beat the baseline, and be no worse than the last blessed."""
    return tuple(BlessingRule(metric=metric, better_than=other) for other in ("baseline", "last_blessed"))


class Evaluate(Section):
    """What is measured on the eval split, and what a model must reach."""

    metrics: tuple[Metric, ...] = ("rmse", "mae", "auc", "sign_accuracy", "spearman", "calibration")
    bless: Annotated[tuple[BlessingRule, ...], AfterValidator(_distinct)] = default_rules("rmse")
    slices: tuple[Literal[SLICES], ...] = SLICES  # type: ignore[valid-type]
    candidates: StrictStr | None = None

    @property
    def has_default_rules(self) -> bool:
        """Whether the rules are a default set."""
        return self.bless in map(default_rules, ("rmse", "auc", "ndcg@10"))

    @property
    def measured_slices(self) -> tuple[str, ...]:
        """Those that are reported, and those of the rules."""
        return tuple(dict.fromkeys([*self.slices, *(rule.slice for rule in self.bless if rule.slice)]))

    @property
    def all_metrics(self) -> tuple[str, ...]:
        """Those that are reported, and those of the rules."""
        return tuple(dict.fromkeys([*self.metrics, *(rule.metric for rule in self.bless)]))

    @pydantic.model_validator(mode="after")
    def _candidates_to_sample(self) -> Evaluate:
        sampled = [metric for metric in self.all_metrics if metric.startswith(SAMPLED)]
        if sampled and self.candidates is None:
            raise ValueError(f"{sampled[0]} needs evaluate.candidates, a file of the pairs to rank")
        return self
