"""Measures every score metric on every slice for all models, with the intervals that the rules need."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from components import resampling
from components.evaluator.figures import Comparison, Figure, number
from components.evaluator.metrics import ADDITIVE, Answers, Labels, ranked
from components.evaluator.names import SCORE_METRICS
from components.evaluator.slices import OVERALL

# (metric, slice) pairs that need an interval, and the other models that need the interval of a difference.
Wanted = Mapping[tuple[str, str], frozenset[str]]
_Intervals = tuple[np.ndarray, dict[str, np.ndarray]]


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
    figures = []
    for metric in SCORE_METRICS:
        others = wanted.get((metric, name))
        if others is None and name == OVERALL and metric in ADDITIVE:
            others = frozenset(rows.others)
        figures.append(_figure(metric, name, part, others))
    return figures


def _figure(metric: str, name: str, rows: Measured, compared: frozenset[str] | None) -> Figure:
    value = _value(metric, rows, rows.candidate)
    others = {other: Comparison(number(_value(metric, rows, answers))) for other, answers in rows.others.items()}
    figure = Figure(metric, name, len(rows.entity), number(value), others=others)
    if compared is None or not len(rows.entity):
        return figure
    own, differences = _intervals(metric, rows, sorted(compared & others.keys()))
    for other, (low, high) in differences.items():
        others[other] = dataclasses.replace(others[other], low=number(low), high=number(high))
    return dataclasses.replace(figure, low=number(own[0]), high=number(own[1]))


def _value(metric: str, rows: Measured, answers: Answers) -> float:
    if not len(rows.entity):
        return float("nan")
    if metric in ADDITIVE:
        additive = ADDITIVE[metric]
        return float(additive.of_means(additive.parts(rows.labels, answers).means()))
    return ranked(metric, rows.labels, answers)(np.ones(len(rows.entity)))


def _intervals(metric: str, rows: Measured, others: Sequence[str]) -> _Intervals:
    """Returns the intervals of the candidate and of its differences from `others`, by drawing left entities."""
    models = [rows.candidate, *(rows.others[other] for other in others)]
    entities = int(rows.entity.max()) + 1
    if metric in ADDITIVE:
        intervals = _by_sums(metric, rows, models, entities)
    else:
        functions = [ranked(metric, rows.labels, answers) for answers in models]

        def weighted(counts: np.ndarray) -> np.ndarray:
            drawn = [count[rows.entity].astype(np.float64) for count in counts]
            return _with_differences(np.array([[of(weights) for of in functions] for weights in drawn]))

        intervals = resampling.interval(weighted, entities, 20 * len(rows.entity) * len(models))
    return intervals[:, 0], {other: intervals[:, 1 + place] for place, other in enumerate(others)}


def _by_sums(metric: str, rows: Measured, models: Sequence[Answers], entities: int) -> np.ndarray:
    additive = ADDITIVE[metric]
    sums = [additive.parts(rows.labels, answers).sums(rows.entity, entities) for answers in models]
    of_entities, of_rows = np.stack(sums, axis=1), np.bincount(rows.entity, minlength=entities)
    flat = np.concatenate([of_entities.reshape(entities, -1), of_rows[:, None]], axis=1)

    def resampled(counts: np.ndarray) -> np.ndarray:
        drawn = counts.astype(np.float64) @ flat  # float products use BLAS, integer products do not
        means = drawn[:, :-1] / drawn[:, -1:]
        return _with_differences(additive.of_means(means.reshape(len(counts), *of_entities.shape[1:])))

    return resampling.interval(resampled, entities, entities * flat.shape[1])


def _with_differences(values: np.ndarray) -> np.ndarray:
    """Converts values `[b, models]` into the candidate's value and its differences from the others, `[b, models]`."""
    return np.concatenate([values[:, :1], values[:, :1] - values[:, 1:]], axis=1)
