"""Ranking metrics for each query: recall, NDCG, hit rate, reciprocal rank and average precision. Also coverage.

A metric is named `NAME@K`. `mrr` and `map` without K use all ranks. Queries without relevant rows have no value.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np

from trainer.ranking.ranks import Ranking

_Values = np.ndarray
_NAME = re.compile(r"(?P<name>[a-z_]+?)(?:@(?P<k>[1-9][0-9]{0,5}))?")


def recall(ranking: Ranking, k: int | None) -> _Values:
    """Returns the share of relevant rows among the first k, `[q]` (Manning et al. 2008, section 8.4)."""
    return _sum(ranking, k, np.ones(len(ranking.rank))) / _to_find(ranking)


def hit_rate(ranking: Ranking, k: int | None) -> _Values:
    """Returns 1 if any relevant row is among the first k, otherwise 0, `[q]` (He et al. 2017, section 4.1)."""
    return np.minimum(_sum(ranking, k, np.ones(len(ranking.rank))), 1.0)


def ndcg(ranking: Ranking, k: int | None) -> _Values:
    """Returns the sum of 1 / log2(1 + rank) of relevant rows among the first k, divided by its maximum, `[q]`.

    (Jarvelin & Kekalainen 2002 with the discount of Burges et al. 2005 and relevance 0 or 1.)
    """
    discounts = 1 / np.log2(np.arange(2, ranking.relevant.max(initial=1) + 2))
    ideal = np.concatenate([[0.0], np.cumsum(discounts)])
    most = ranking.relevant if k is None else np.minimum(ranking.relevant, k)
    return _sum(ranking, k, 1 / np.log2(1 + ranking.rank)) / np.where(most > 0, ideal[most], 1.0)


def reciprocal_rank(ranking: Ranking, k: int | None) -> _Values:
    """Returns 1 / rank of the first relevant row, or 0 if it is not among the first k, `[q]` (Voorhees 1999)."""
    found = np.zeros(len(ranking.relevant))
    kept = _kept(ranking, k)
    np.maximum.at(found, ranking.entity[kept], 1 / ranking.rank[kept])
    return found


def average_precision(ranking: Ranking, k: int | None) -> _Values:
    """Returns the average precision at the relevant rows among the first k, `[q]`.

    This is the sum of these precisions divided by the number of relevant rows (Manning et al. 2008, equation 8.8). With
    k, it is TREC's map_cut, which also divides by the number of all relevant rows.
    """
    place = np.arange(len(ranking.entity)) - np.searchsorted(ranking.entity, ranking.entity)
    return _sum(ranking, k, (place + 1) / ranking.rank) / _to_find(ranking)


Metric = Callable[[Ranking, "int | None"], _Values]

# Functions by name, and whether k is optional.
_METRICS: dict[str, tuple[Metric, bool]] = {
    "recall": (recall, False),
    "ndcg": (ndcg, False),
    "hit_rate": (hit_rate, False),
    "mrr": (reciprocal_rank, True),
    "map": (average_precision, True),
}
RECALL, COVERAGE = "recall", "coverage"
NAMES = (*_METRICS, COVERAGE)


def parse(metric: str) -> tuple[str, int | None]:
    """Splits a metric into name and k. For example, `recall@10` returns ("recall", 10).

    Raises:
      ValueError: the metric is unknown. The message lists the known ones.
    """
    found = _NAME.fullmatch(metric)
    name, k = (found["name"], found["k"]) if found else ("", None)
    if name not in NAMES or (k is None and not (name in _METRICS and _METRICS[name][1])):
        known = ", ".join(f"{known}@K" for known in NAMES)
        raise ValueError(f"{metric!r} is not a ranking metric. Choose from {known}, mrr and map")
    return name, int(k) if k else None


def per_query(ranking: Ranking, metric: str) -> np.ndarray:
    """Computes `metric` for each query with relevant rows.

    Args:
      ranking: of the queries.
      metric: a name, such as `recall@10`.

    Returns:
      float64 `[n]` in the order of the queries.

    Raises:
      ValueError: the metric is unknown, is `coverage`, which is not defined per query, or needs a deeper ranking.
    """
    name, k = parse(metric)
    if name == COVERAGE:
        raise ValueError("coverage is not defined per query")
    if ranking.depth is not None and (k is None or k > ranking.depth):
        raise ValueError(f"{metric} needs ranks beyond {ranking.depth}")
    return _METRICS[name][0](ranking, k)[ranking.relevant > 0]


def coverage(ranking: Ranking) -> float:
    """Returns the share of the catalog among the first `depth` candidates of any query (Ge et al. 2010, section 2).

    Raises:
      ValueError: the ranking has no depth.
    """
    if ranking.shown is None:
        raise ValueError("coverage needs a ranking with a depth")
    return float(ranking.shown.mean()) if len(ranking.shown) else 0.0


def _kept(ranking: Ranking, k: int | None) -> np.ndarray:
    return np.full(len(ranking.rank), True) if k is None else ranking.rank <= k


def _sum(ranking: Ranking, k: int | None, values: np.ndarray) -> np.ndarray:
    """Returns the sum of `values` of the relevant rows among the first k, `[q]`."""
    kept = _kept(ranking, k)
    return np.bincount(ranking.entity[kept], values[kept], len(ranking.relevant))


def _to_find(ranking: Ranking) -> np.ndarray:
    return np.maximum(ranking.relevant, 1)
