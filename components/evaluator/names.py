"""The metrics and slices that a pipeline file may name. Nothing here is heavy: configuration reads it."""

from __future__ import annotations

from components.evaluator.slices import LEFT, SLICES
from trainer.ranking import ranking_metrics

# Lower is better for these.
ERRORS = ("rmse", "mae", "calibration")
SCORE_METRICS = ("rmse", "mae", "auc", "sign_accuracy", "spearman", "calibration")
SAMPLED = "sampled_"


def is_ranking(metric: str) -> bool:
    """Whether RankingEvaluator measures it, not the Evaluator."""
    return metric not in SCORE_METRICS


def check_metric(metric: str) -> str:
    """`metric`, if there is such a one.

    Raises:
      ValueError: there is none; says which there are.
    """
    if is_ranking(metric):
        try:
            name, _ = ranking_metrics.parse(metric.removeprefix(SAMPLED))
        except ValueError:
            name = None
        if name is None or (name == ranking_metrics.COVERAGE and metric.startswith(SAMPLED)):
            raise ValueError(
                f"there is no such metric; there are {', '.join(SCORE_METRICS)}, recall@K, ndcg@K, hit_rate@K, mrr@K, "
                "map@K, mrr, map, each of these as sampled_..., and coverage@K"
            )
    return metric


def check_slice(metric: str, slice_: str) -> None:
    """Whether `metric` is measured on `slice_`.

    Raises:
      ValueError: it is not; says what is.
    """
    known = LEFT if is_ranking(metric) else SLICES
    if slice_ not in known:
        raise ValueError(f"slice: {metric} is measured on {', '.join(known)} (got {slice_!r})")
