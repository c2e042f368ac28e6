"""Names of metrics and slices in a pipeline file. Imports stay light, because the configuration imports this module."""

from __future__ import annotations

from components.evaluator.slices import LEFT, SLICES
from trainer.ranking import ranking_metrics

# Lower is better for these.
ERRORS = ("rmse", "mae", "calibration")
SCORE_METRICS = ("rmse", "mae", "auc", "sign_accuracy", "spearman", "calibration")
SAMPLED = "sampled_"
# Rankings of right entities without a pair in the train split, among themselves.
COLD = "cold_"
# Approximate rankings are compared with the exact ones, not with held-out pairs.
APPROXIMATE = "approximate_"


def is_ranking(metric: str) -> bool:
    """Returns whether RankingEvaluator measures the metric."""
    return metric not in SCORE_METRICS


def plain(metric: str) -> str:
    """Returns the name of a ranking metric without a prefix for its candidates."""
    return metric.removeprefix(SAMPLED).removeprefix(COLD)


def is_approximate(metric: str) -> bool:
    """Returns whether the metric compares the approximate rankings of a model with the exact ones."""
    return metric.startswith(APPROXIMATE)


def check_metric(metric: str) -> str:
    """Returns `metric` if it exists.

    Raises:
      ValueError: the metric is unknown. The message lists the known ones.
    """
    if is_ranking(metric):
        prefix = next((prefix for prefix in (SAMPLED, COLD, APPROXIMATE) if metric.startswith(prefix)), "")
        try:
            name, _ = ranking_metrics.parse(metric.removeprefix(prefix))
        except ValueError:
            name = None
        possible = {
            "": name is not None,
            APPROXIMATE: name == ranking_metrics.RECALL,
        }.get(prefix, name not in (None, ranking_metrics.COVERAGE))
        if not possible:
            raise ValueError(
                f"unknown metric. Choose {', '.join(SCORE_METRICS)}, recall@K, ndcg@K, hit_rate@K, mrr@K, "
                "map@K, mrr, map, one of these with the prefix sampled_ or cold_, coverage@K, or approximate_recall@K"
            )
    return metric


def check_slice(metric: str, slice_: str) -> None:
    """Checks that `metric` is measured on `slice_`.

    Raises:
      ValueError: it is not. The message lists the slices of `metric`.
    """
    if metric.startswith((COLD, APPROXIMATE)):
        raise ValueError(f"slice: {metric} has none (got {slice_!r}). Omit the key")
    known = LEFT if is_ranking(metric) else SLICES
    if slice_ not in known:
        raise ValueError(f"slice: {metric} is measured on {', '.join(known)} (got {slice_!r})")
