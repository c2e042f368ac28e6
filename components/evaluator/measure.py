"""Measures every score metric on every slice for all models, with the intervals that the rules need."""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from components import intervals
from components.evaluator.figures import Comparison, Figure, number
from components.evaluator.metrics import ADDITIVE, RANGES, Answers, Labels, ranked
from components.evaluator.names import SCORE_METRICS
from components.evaluator.slices import OVERALL

# (metric, slice) pairs that need an interval, and the other models that need the interval of a difference.
Wanted = Mapping[tuple[str, str], frozenset[str]]


@dataclasses.dataclass(frozen=True)
class Measured:
    """Labels and predictions on the rows of one slice.

    Attributes:
      labels: the true scores.
      candidate: predictions of the candidate.
      others: predictions of each other model, by name.
      entity: left entity of each row, int64 `[n]`. Bootstrap draws these entities.
    """

    labels: Labels
    candidate: Answers
    others: dict[str, Answers]
    entity: np.ndarray

    def take(self, rows: np.ndarray) -> Measured:
        """Returns the rows of a mask, bool `[n]`, with their entities renumbered from 0."""
        return Measured(
            self.labels.take(rows),
            self.candidate.take(rows),
            {name: answers.take(rows) for name, answers in self.others.items()},
            np.unique(self.entity[rows], return_inverse=True)[1],
        )


def measure(rows: Measured, slices: Mapping[str, np.ndarray], wanted: Wanted) -> list[Figure]:
    """Measures every metric on all rows and on `slices`.

    Additive metrics always have an interval on all rows. Other figures have one only where `wanted`.

    Args:
      rows: labels and predictions of all rows.
      slices: masks of rows by name, bool `[n]`.
      wanted: the figures that need an interval.
    """
    parts: list[tuple[str, np.ndarray | None]] = [(OVERALL, None), *slices.items()]
    for answers in (rows.candidate, *rows.others.values()):
        _ = answers.by_score  # once for all threads
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        of_parts = threads.map(lambda part: _figures(part[0], rows, part[1], wanted), parts)
        return [figure for figures in of_parts for figure in figures]


def _figures(name: str, rows: Measured, mask: np.ndarray | None, wanted: Wanted) -> list[Figure]:
    """Measures every metric on a slice, or on all rows if there is no mask."""
    part = rows if mask is None else rows.take(mask)
    compared: dict[str, list[str]] = {}
    for metric in SCORE_METRICS:
        others = wanted.get((metric, name))
        if others is None and name == OVERALL and metric in ADDITIVE:
            others = frozenset(rows.others)
        if others is not None and len(part.entity):
            compared[metric] = sorted(others & part.others.keys())
    return [_figure(metric, name, part, compared.get(metric)) for metric in SCORE_METRICS]


def _figure(metric: str, name: str, rows: Measured, compared: Sequence[str] | None) -> Figure:
    """Builds a figure, with intervals of the candidate and of its differences from `compared`, or without any."""
    value = _value(metric, rows, rows.candidate)
    others = {other: Comparison(number(_value(metric, rows, answers))) for other, answers in rows.others.items()}
    missing = None if math.isfinite(value) else why_missing(metric, rows.labels)
    figure = Figure(metric, name, len(rows.entity), number(value), others=others, missing=missing)
    if compared is None:
        return figure
    of_metric = _of_sums if metric in ADDITIVE else _of_ranks
    (low, *lows), (high, *highs) = of_metric(metric, rows, compared).tolist()
    for other, its_low, its_high in zip(compared, lows, highs, strict=True):
        others[other] = dataclasses.replace(others[other], low=number(its_low), high=number(its_high))
    least, most = RANGES[metric]
    return dataclasses.replace(figure, low=number(max(low, least)), high=number(min(high, most)))


def why_missing(metric: str, labels: Labels) -> str:
    """Returns why a metric has no value on some rows."""
    count = f"{len(labels.value):,}"
    if not len(labels.value):
        return "no rows"
    if metric == "auc" and labels.positive.all():
        return f"auc needs both classes, and all {count} rows score above the center"
    if metric == "auc" and not labels.positive.any():
        return f"auc needs both classes, and none of {count} rows scores above the center"
    if metric == "spearman" and labels.by_value.is_constant:
        return f"spearman needs different scores, and all {count} rows have the same"
    return "not a finite number"


def _value(metric: str, rows: Measured, answers: Answers) -> float:
    if not len(rows.entity):
        return float("nan")
    if metric in ADDITIVE:
        additive = ADDITIVE[metric]
        return float(additive.of_means(additive.parts(rows.labels, answers).means()))
    return ranked(metric, rows.labels, answers)(rows.labels.weights)


def _of_ranks(metric: str, rows: Measured, compared: Sequence[str]) -> np.ndarray:
    """Returns the intervals of a metric that sorts rows, float64 `[2, 1 + compared]`, by drawing left entities."""
    functions = [ranked(metric, rows.labels, answers) for answers in _models(rows, compared)]
    weight = rows.labels.weights

    def weighted(counts: np.ndarray) -> np.ndarray:
        drawn = [count[rows.entity] * weight for count in counts]
        return _with_differences(np.array([[of(weights) for of in functions] for weights in drawn]))

    return intervals.of_resampling(weighted, _sizes(rows), 20 * len(rows.entity) * len(functions))


def _of_sums(metric: str, rows: Measured, compared: Sequence[str]) -> np.ndarray:
    """Returns the intervals of an additive metric, float64 `[2, 1 + compared]`."""
    additive, sizes = ADDITIVE[metric], _sizes(rows)
    figures, influence = [], []
    for answers in _models(rows, compared):
        sums = additive.parts(rows.labels, answers).sums(rows.entity, len(sizes))
        means = sums.sum(axis=0) / sizes.sum()
        figures.append(additive.of_means(means))
        influence.append((sums - sizes[:, None] * means) @ additive.gradient(means) / sizes.sum())
    return intervals.of_sums(
        _with_differences(np.array([figures]))[0], _with_differences(np.stack(influence, axis=1)), sizes
    )


def _sizes(rows: Measured) -> np.ndarray:
    """Returns the weight of all rows of each entity, float64 `[entities]`."""
    return np.bincount(rows.entity, rows.labels.weights)


def _models(rows: Measured, others: Sequence[str]) -> list[Answers]:
    return [rows.candidate, *(rows.others[other] for other in others)]


def _with_differences(values: np.ndarray) -> np.ndarray:
    """Converts values `[b, models]` into the candidate's value and its differences from the others, `[b, models]`."""
    return np.concatenate([values[:, :1], values[:, :1] - values[:, 1:]], axis=1)
