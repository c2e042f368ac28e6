"""Blessing rules as the thresholds of TensorFlow Model Analysis."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Literal

from tensorflow_model_analysis.proto import config_pb2

from components.evaluator import metrics
from trainer import features

CANDIDATE, LAST_BLESSED = "candidate", "last_blessed"
SIGNATURE = "evaluate"


@dataclasses.dataclass(frozen=True)
class Rule:
    """One condition on an error metric (`rmse` or `mae`, lower is better); exactly one of the bounds is set.

    `below` and `above` are strict. `better_than: baseline` asks for an error lower than the constant model's by more
    than `margin`; `better_than: last_blessed` for one lower than the last blessed model's by at least `margin` (0: no
    worse; negative: worse by at most that much).
    """

    metric: str
    below: float | None = None
    above: float | None = None
    better_than: Literal["baseline", "last_blessed"] | None = None
    margin: float = 0.0

    def __str__(self) -> str:
        if self.below is not None:
            return f"{self.metric} below {self.below:g}"
        if self.above is not None:
            return f"{self.metric} above {self.above:g}"
        other = {"baseline": "constant-mean baseline", "last_blessed": "last blessed model"}[str(self.better_than)]
        if self.margin > 0:
            return f"{self.metric} better than {other} by {self.margin:g}"
        if self.margin < 0:
            return f"{self.metric} at most {-self.margin:g} worse than {other}"
        return f"{self.metric} {'better' if self.better_than == 'baseline' else 'no worse'} than {other}"


def eval_config(rules: Sequence[Rule]) -> config_pb2.EvalConfig:
    """The Evaluator's configuration: both models by their `evaluate` signature, in the label's own unit."""
    spec = {"signature_name": SIGNATURE, "label_key": features.SCORE}
    thresholds: dict[str, config_pb2.MetricThreshold] = {}
    for rule in rules:
        _add_threshold(thresholds, rule)
    return config_pb2.EvalConfig(
        model_specs=[
            config_pb2.ModelSpec(name=CANDIDATE, **spec),
            config_pb2.ModelSpec(name=LAST_BLESSED, is_baseline=True, **spec),
        ],
        slicing_specs=[config_pb2.SlicingSpec()],
        metrics_specs=[
            config_pb2.MetricsSpec(
                metrics=[
                    config_pb2.MetricConfig(class_name=metrics.PairErrors.__name__, module=metrics.__name__),
                    config_pb2.MetricConfig(class_name="ExampleCount"),
                ],
                model_names=[CANDIDATE, LAST_BLESSED],
                thresholds=thresholds,
            )
        ],
    )


def threshold_name(rule: Rule) -> str:
    """The TFMA metric on which `rule` sets a threshold."""
    return f"{rule.metric}_gain" if rule.better_than == "baseline" else rule.metric


def _add_threshold(thresholds: dict[str, config_pb2.MetricThreshold], rule: Rule) -> None:
    """Adds `rule`; TFMA's bounds are inclusive, so a strict one is the next number beyond."""
    threshold = thresholds.setdefault(threshold_name(rule), config_pb2.MetricThreshold())
    if rule.below is not None:
        threshold.value_threshold.upper_bound.value = math.nextafter(rule.below, -math.inf)
    elif rule.above is not None:
        threshold.value_threshold.lower_bound.value = math.nextafter(rule.above, math.inf)
    elif rule.better_than == "baseline":
        threshold.value_threshold.lower_bound.value = math.nextafter(rule.margin, math.inf)
    else:
        threshold.change_threshold.direction = config_pb2.MetricDirection.LOWER_IS_BETTER
        threshold.change_threshold.absolute.value = -rule.margin
