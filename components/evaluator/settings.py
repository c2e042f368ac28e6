"""Section `evaluate` of a pipeline file, and the settings of PairEvaluator, which are a part of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

import pydantic
from pydantic import AfterValidator

from components.evaluator.names import SAMPLED
from components.evaluator.rules import Metric, Rule
from components.evaluator.slices import SLICES
from sections import LocalPath, Section


def _distinct(rules: tuple[Rule, ...]) -> tuple[Rule, ...]:
    kinds = [(r.metric, r.slice, r.better_than or ("below" if r.below is not None else "above")) for r in rules]
    if len(set(kinds)) < len(kinds):
        raise ValueError("the same metric has the same kind of bound twice; keep the stricter rule")
    if not rules:
        raise ValueError("at least one rule is needed: a model is never published unproven")
    return rules


def default_rules(metric: str) -> tuple[Rule, ...]:
    """The rules of a file that has none: beat the baseline, and be no worse than the last blessed model."""
    return tuple(Rule(metric=metric, better_than=other) for other in ("baseline", "last_blessed"))


class EvaluateSettings(Section):
    """What is measured on the eval split, and what a model must reach."""

    metrics: tuple[Metric, ...] = ("rmse", "mae", "auc", "sign_accuracy", "spearman", "calibration")
    bless: Annotated[tuple[Rule, ...], AfterValidator(_distinct)] = default_rules("rmse")
    slices: tuple[Literal[SLICES], ...] = SLICES  # type: ignore[valid-type]
    candidates: LocalPath | None = None

    @property
    def has_default_rules(self) -> bool:
        """Whether the rules are a default set."""
        return self.bless in map(default_rules, ("rmse", "auc", "ndcg@10"))

    @property
    def measured_slices(self) -> tuple[str, ...]:
        """The reported slices, and those of the rules."""
        return tuple(dict.fromkeys([*self.slices, *(rule.slice for rule in self.bless if rule.slice)]))

    @property
    def all_metrics(self) -> tuple[str, ...]:
        """The reported metrics, and those of the rules."""
        return tuple(dict.fromkeys([*self.metrics, *(rule.metric for rule in self.bless)]))

    @pydantic.model_validator(mode="after")
    def _candidates_to_sample(self) -> EvaluateSettings:
        sampled = [metric for metric in self.all_metrics if metric.startswith(SAMPLED)]
        if sampled and self.candidates is None:
            raise ValueError(f"{sampled[0]} needs evaluate.candidates, a file of the pairs to rank")
        return self


class EvaluationSettings(Section):
    """The rules, whether they are the defaults, whether pairs have scores, and the slices."""

    rules: tuple[Rule, ...] = default_rules("rmse")
    are_defaults: bool = True
    scored: bool = True
    slices: tuple[str, ...] = SLICES


def wanted(rules: Sequence[Rule]) -> dict[tuple[str, str], frozenset[str]]:
    """Returns, by (metric, slice), the other models of the rules. Each of them needs an interval."""
    others: dict[tuple[str, str], frozenset[str]] = {}
    for rule in rules:
        key = (rule.metric, rule.of_slice)
        others[key] = others.get(key, frozenset()) | ({rule.other} if rule.other else frozenset())
    return others
