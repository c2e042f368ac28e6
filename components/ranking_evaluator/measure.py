"""Ranking metrics of all models, each with its interval over left entities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from components import intervals
from components.evaluator.figures import Comparison, Figure, number
from components.evaluator.names import SAMPLED
from components.evaluator.slices import OVERALL
from components.ranking_evaluator.task import Ranker, Task
from trainer.ranking import ranking_metrics
from trainer.ranking.ranks import Ranking

_CANDIDATE = "candidate"


def measure(
    metrics: Sequence[str], candidate: Ranker, others: Mapping[str, Ranker], task: Task, masks: Mapping[str, np.ndarray]
) -> list[Figure]:
    """Returns the figures of `metrics` on all left entities with positives, and on slices (masks `[q]` by name)."""
    coverage = [metric for metric in metrics if ranking_metrics.parse(metric.removeprefix(SAMPLED))[0] == "coverage"]
    of_entities = [metric for metric in metrics if metric not in coverage]
    models = {_CANDIDATE: candidate, **others}
    values: dict[str, np.ndarray] = {}
    figures = []
    shown: dict[str, list[float]] = {}
    for name, ranker in models.items():
        rankings = _rankings(metrics, ranker, task)
        columns = [ranking_metrics.per_query(rankings[metric], metric.removeprefix(SAMPLED)) for metric in of_entities]
        values[name] = np.stack(columns, axis=1) if columns else np.zeros((0, 0))
        shown[name] = [ranking_metrics.coverage(rankings[metric]) for metric in coverage]
    for name, mask in {OVERALL: np.full(len(task.left), True), **masks}.items():
        figures += _figures(of_entities, name, {model: of_model[mask] for model, of_model in values.items()})
    for place, metric in enumerate(coverage):
        compared = {other: Comparison(shown[other][place]) for other in others}
        figures.append(Figure(metric, OVERALL, len(task.left), shown[_CANDIDATE][place], others=compared))
    return figures


def _rankings(metrics: Sequence[str], ranker: Ranker, task: Task) -> dict[str, Ranking]:
    """Computes each required ranking once. Coverage uses its own depth."""
    rankings: dict[str, Ranking] = {}
    made: dict[tuple[str, int | None], Ranking] = {}
    parsed = {metric: ranking_metrics.parse(metric.removeprefix(SAMPLED)) for metric in metrics}
    deepest = max((k for metric, (_, k) in parsed.items() if k and not metric.startswith(SAMPLED)), default=None)
    for metric, (name, k) in parsed.items():
        sampled = metric.startswith(SAMPLED)
        depth = None if sampled or k is None else k if name == ranking_metrics.COVERAGE else deepest
        key = (SAMPLED if sampled else "", depth)
        if key not in made:
            made[key] = ranker.rank_candidates(task) if sampled else ranker.rank(task, depth)
        rankings[metric] = made[key]
    return rankings


def _figures(metrics: Sequence[str], name: str, values: Mapping[str, np.ndarray]) -> list[Figure]:
    """Builds figures from `values`: `[entities, metrics]` by model."""
    mine = values[_CANDIDATE]
    others = [other for other in values if other != _CANDIDATE]
    columns = np.concatenate([mine, *(mine - values[other] for other in others)], axis=1)
    low, high = intervals.of_means(columns).reshape(2, 1 + len(others), len(metrics))
    means = {model: _means(of_model) for model, of_model in values.items()}
    figures = []
    for place, metric in enumerate(metrics):
        compared = {
            other: Comparison(number(means[other][place]), number(low[1 + at][place]), number(high[1 + at][place]))
            for at, other in enumerate(others)
        }
        value = number(means[_CANDIDATE][place])
        figures.append(Figure(metric, name, len(mine), value, number(low[0][place]), number(high[0][place]), compared))
    return figures


def _means(values: np.ndarray) -> np.ndarray:
    return values.mean(axis=0) if len(values) else np.full(values.shape[1], np.nan)
