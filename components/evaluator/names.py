"""Names of metrics and slices in a pipeline file. Imports stay light, because the configuration imports this module."""

from __future__ import annotations

import difflib

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
    if not _exists(metric):
        raise ValueError(
            f"unknown metric. Choose {', '.join(SCORE_METRICS)}, recall@K, ndcg@K, hit_rate@K, mrr@K, map@K, mrr, map, "
            "one of these with the prefix sampled_ or cold_, coverage@K, or approximate_recall@K"
            f"{_question(metric)}"
        )
    return metric


def _exists(metric: str) -> bool:
    if not is_ranking(metric):
        return True
    prefix = _prefix(metric)
    try:
        name, _ = ranking_metrics.parse(metric.removeprefix(prefix))
    except ValueError:
        return False
    return {"": True, APPROXIMATE: name == ranking_metrics.RECALL}.get(prefix, name != ranking_metrics.COVERAGE)


def _prefix(metric: str) -> str:
    return next((prefix for prefix in (SAMPLED, COLD, APPROXIMATE) if metric.startswith(prefix)), "")


def _question(metric: str) -> str:
    """Returns a question about the metric with a similar name, and no text if there is none."""
    prefix = _prefix(metric)
    name, at, k = metric.removeprefix(prefix).partition("@")
    close = difflib.get_close_matches(name, (*SCORE_METRICS, *ranking_metrics.NAMES), 1)
    similar = [prefix + close[0] + at + k, prefix + close[0] + "@10", close[0]] if close else []
    return next((f". Did you mean {candidate}?" for candidate in similar if _exists(candidate)), "")


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
