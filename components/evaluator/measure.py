"""Measures every score metric on every slice for all models, with the intervals that the rules need."""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from components import intervals
from components.evaluator.figures import Comparison, Figure, number
from components.evaluator.metrics import METRICS, Answers, Labels, Outcome
from components.evaluator.names import SCORE_METRICS
from components.evaluator.slices import OVERALL

# Metrics that always have an interval on all rows.
_MEANS = ("rmse", "mae", "sign_accuracy", "calibration")

# (metric, slice) pairs that need an interval, and the other models that need the interval of a difference.
Wanted = Mapping[tuple[str, str], frozenset[str]]


@dataclasses.dataclass(frozen=True)
class Measured:
    """Labels and predictions on the rows of one slice.

    Attributes:
      labels: the true scores.
      candidate: predictions of the candidate.
      others: predictions of each other model, by name.
      entity: left entity of each row, int `[n]`. The rows of an entity are one observation.
    """

    labels: Labels
    candidate: Answers
    others: dict[str, Answers]
    entity: np.ndarray

    def take(self, mask: np.ndarray) -> Measured:
        """Returns the rows of a mask, bool `[n]`."""
        rows = np.flatnonzero(mask)
        if len(rows) == len(mask):
            return self
        others = {name: answers.take(rows) for name, answers in self.others.items()}
        return Measured(self.labels.take(rows), self.candidate.take(rows), others, self.entity[rows])


def measure(rows: Measured, slices: Mapping[str, np.ndarray], wanted: Wanted) -> list[Figure]:
    """Measures every metric on all rows and on `slices`.

    Means always have an interval on all rows. Other figures have one only where `wanted`.

    Args:
      rows: labels and predictions of all rows.
      slices: masks of rows by name, bool `[n]`.
      wanted: the figures that need an interval.
    """
    parts: list[tuple[str, np.ndarray | None]] = [(OVERALL, None), *slices.items()]
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        # Once for all slices.
        list(threads.map(lambda of: of.levels, (rows.labels, rows.candidate, *rows.others.values())))
        of_parts = threads.map(lambda part: _figures(part[0], rows, part[1], wanted), parts)
        return [figure for figures in of_parts for figure in figures]


def _figures(name: str, rows: Measured, mask: np.ndarray | None, wanted: Wanted) -> list[Figure]:
    """Measures every metric on a slice, or on all rows if there is no mask."""
    part = rows if mask is None else rows.take(mask)
    candidate = Outcome(part.labels, part.candidate)
    others = {other: Outcome(part.labels, answers) for other, answers in part.others.items()}
    figures = []
    for metric in SCORE_METRICS:
        figure = _figure(metric, name, candidate, others)
        compared = wanted.get((metric, name))
        if compared is None and name == OVERALL and metric in _MEANS:
            compared = frozenset(others)
        if compared is not None and figure.value is not None:
            figure = _with_intervals(
                figure, candidate, {other: others[other] for other in compared & others.keys()}, part
            )
        figures.append(figure)
    return figures


def _figure(metric: str, slice_: str, candidate: Outcome, others: Mapping[str, Outcome]) -> Figure:
    """Builds a figure without intervals."""
    value = _value(metric, candidate)
    missing = None if math.isfinite(value) else why_missing(metric, candidate.labels)
    compared = {other: Comparison(number(_value(metric, of))) for other, of in others.items()}
    return Figure(metric, slice_, len(candidate.error), number(value), others=compared, missing=missing)


def _value(metric: str, of: Outcome) -> float:
    return METRICS[metric].value(of) if len(of.error) else float("nan")


def _with_intervals(figure: Figure, candidate: Outcome, others: Mapping[str, Outcome], rows: Measured) -> Figure:
    """Adds the intervals of the candidate and of its differences from `others`. All rows of an entity count as one."""
    metric = METRICS[figure.metric]
    values = np.array([metric.value(of) for of in (candidate, *others.values())])
    influence = np.stack(
        [np.bincount(rows.entity, metric.influence(of)) for of in (candidate, *others.values())], axis=1
    )
    for of_models in (values, influence.T):
        of_models[1:] = of_models[0] - of_models[1:]
    sizes = np.bincount(rows.entity, rows.labels.weights)
    (low, *lows), (high, *highs) = intervals.of_sums(values, influence, sizes).tolist()
    compared = {
        other: dataclasses.replace(figure.others[other], low=number(its_low), high=number(its_high))
        for other, its_low, its_high in zip(others, lows, highs, strict=True)
    }
    return dataclasses.replace(
        figure,
        low=number(max(low, metric.least)),
        high=number(min(high, metric.most)),
        others=figure.others | compared,
    )


def why_missing(metric: str, labels: Labels) -> str:
    """Returns why a metric has no value on some rows."""
    count = f"{len(labels.value):,}"
    if not len(labels.value):
        return "no rows"
    if metric == "auc" and labels.positive.all():
        return f"auc needs both classes, and all {count} rows score above the center"
    if metric == "auc" and not labels.positive.any():
        return f"auc needs both classes, and none of {count} rows scores above the center"
    if metric == "spearman" and not labels.ranks.squares:
        return f"spearman needs different scores, and all {count} rows have the same"
    return "not a finite number"
