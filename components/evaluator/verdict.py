"""What the Evaluator decided, read back as metrics and a table of rules."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import tensorflow_model_analysis as tfma
from tensorflow_model_analysis.proto import config_pb2

from components.evaluator.rules import CANDIDATE, LAST_BLESSED, Rule, threshold_name

_OVERALL = ()


@dataclasses.dataclass(frozen=True)
class RuleResult:
    """One rule with the value it judged and the bound; without a bound there was nothing to compare with."""

    rule: str
    value: float
    bound: float | None
    ok: bool

    def __str__(self) -> str:
        bound = "no blessed model yet" if self.bound is None else f"bound {self.bound:.4f}"
        return f"{self.rule}: {self.value:.4f}, {bound}: {'ok' if self.ok else 'NOT MET'}"


@dataclasses.dataclass(frozen=True)
class Verdict:
    """Everything the Evaluator found on the whole eval split."""

    metrics: dict[str, float]
    rules: list[RuleResult]
    blessed: bool


def read_verdict(evaluation: str, rules: Sequence[Rule]) -> Verdict:
    """Reads the Evaluator's output directory `evaluation`; whether a rule held is TFMA's own finding."""
    models = [spec.name for spec in tfma.load_eval_result(evaluation).config.model_specs]
    candidate = _metrics(evaluation, CANDIDATE if len(models) > 1 else None)
    last = _metrics(evaluation, LAST_BLESSED) if len(models) > 1 else None
    validation = tfma.load_validation_result(evaluation)
    failed = {
        (failure.metric_key.name, _kind(failure.metric_threshold))
        for slice_result in validation.metric_validations_per_slice
        for failure in slice_result.failures
    }
    results = [_result(rule, candidate, last, failed) for rule in rules]
    return Verdict(candidate, results, bool(validation.validation_ok))


def _kind(threshold: config_pb2.MetricThreshold) -> str:
    return "change_threshold" if threshold.HasField("change_threshold") else "value_threshold"


def _metrics(evaluation: str, model: str | None) -> dict[str, float]:
    """Every scalar metric of `model` on the whole split."""
    result = tfma.load_eval_result(evaluation, model_name=model)
    overall = next(metrics for slice_key, metrics in result.slicing_metrics if slice_key == _OVERALL)
    return {name: value["doubleValue"] for name, value in overall[""][""].items() if "doubleValue" in value}


def _result(
    rule: Rule, candidate: dict[str, float], last: dict[str, float] | None, failed: set[tuple[str, str]]
) -> RuleResult:
    kind = "change_threshold" if rule.better_than == "last_blessed" else "value_threshold"
    value = candidate[rule.metric]
    ok = (threshold_name(rule), kind) not in failed
    # `below` and `above` share one threshold: where it failed, the bound that the value is beyond is the one not met.
    if rule.below is not None:
        ok = ok or value < rule.below
    elif rule.above is not None:
        ok = ok or value > rule.above
    return RuleResult(str(rule), value, _bound(rule, candidate, last), ok)


def _bound(rule: Rule, candidate: dict[str, float], last: dict[str, float] | None) -> float | None:
    """The number that the rule's metric had to stay below (above, for `above`)."""
    if rule.better_than == "baseline":
        return candidate[f"baseline_{rule.metric}"] - rule.margin
    if rule.better_than == "last_blessed":
        return None if last is None else last[rule.metric] - rule.margin
    return rule.below if rule.below is not None else rule.above
