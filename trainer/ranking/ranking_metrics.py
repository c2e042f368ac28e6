"""What a ranking is worth, for each query: recall, NDCG, hit rate, reciprocal rank, average precision; and coverage.

A metric is named `NAME@K`, or `mrr` and `map` over all ranks. A query with nothing to find counts in none of them.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np

from trainer.ranking.ranks import Ranking

_Values = np.ndarray
_NAME = re.compile(r"(?P<name>[a-z_]+?)(?:@(?P<k>[1-9][0-9]{0,5}))?")


def recall(ranking: Ranking, k: int | None) -> _Values:
    """The share of what is relevant that is among the first k (Manning et al. 2008, section 8.4); `[q]`."""
    return _sum(ranking, k, np.ones(len(ranking.rank))) / _to_find(ranking)


def hit_rate(ranking: Ranking, k: int | None) -> _Values:
    """1 where anything relevant is among the first k, else 0 (He et al. 2017, section 4.1); `[q]`."""
    return np.minimum(_sum(ranking, k, np.ones(len(ranking.rank))), 1.0)


def ndcg(ranking: Ranking, k: int | None) -> _Values:
    """Sum of 1 / log2(1 + rank) of the relevant among the first k, over the most it can be; `[q]`.

    (Jarvelin & Kekalainen 2002 with the discount of Burges et al. 2005 and relevance 0 or 1.)
    """
    discounts = 1 / np.log2(np.arange(2, ranking.relevant.max(initial=1) + 2))
    ideal = np.concatenate([[0.0], np.cumsum(discounts)])
    most = ranking.relevant if k is None else np.minimum(ranking.relevant, k)
    return _sum(ranking, k, 1 / np.log2(1 + ranking.rank)) / np.where(most > 0, ideal[most], 1.0)


def reciprocal_rank(ranking: Ranking, k: int | None) -> _Values:
    """1 / rank of the first relevant row, 0 if it is not among the first k (Voorhees 1999); `[q]`."""
    found = np.zeros(len(ranking.relevant))
    kept = _kept(ranking, k)
    np.maximum.at(found, ranking.entity[kept], 1 / ranking.rank[kept])
    return found


def average_precision(ranking: Ranking, k: int | None) -> _Values:
    """Sum of the precision at each relevant row among the first k, over the number of relevant ones; `[q]`.

    (Manning et al. 2008, equation 8.8; with k as TREC's map_cut, which divides by all that are relevant.)
    """
    place = np.arange(len(ranking.entity)) - np.searchsorted(ranking.entity, ranking.entity)
    return _sum(ranking, k, (place + 1) / ranking.rank) / _to_find(ranking)


Metric = Callable[[Ranking, "int | None"], _Values]

# By name, and whether it may stand without a k.
_METRICS: dict[str, tuple[Metric, bool]] = {
    "recall": (recall, False),
    "ndcg": (ndcg, False),
    "hit_rate": (hit_rate, False),
    "mrr": (reciprocal_rank, True),
    "map": (average_precision, True),
}
COVERAGE = "coverage"


def parse(metric: str) -> tuple[str, int | None]:
    """The name and k of `metric`, such as ("recall", 10) of `recall@10`.

    Raises:
      ValueError: there is no such metric; says which there are.
    """
    found = _NAME.fullmatch(metric)
    name, k = (found["name"], found["k"]) if found else ("", None)
    if name not in (*_METRICS, COVERAGE) or (k is None and not (name in _METRICS and _METRICS[name][1])):
        known = ", ".join(f"{known}@K" for known in (*_METRICS, COVERAGE))
        raise ValueError(f"{metric!r} is no ranking metric; there are {known}, mrr and map")
    return name, int(k) if k else None


def per_query(ranking: Ranking, metric: str) -> np.ndarray:
    """The value of `metric` for each query with something to find, float64 `[n]`, in the order of the queries.

    Raises:
      ValueError: the metric is unknown, is `coverage`, which no query has by itself, or needs a deeper ranking.
    """
    name, k = parse(metric)
    if name == COVERAGE:
        raise ValueError("coverage is of all queries together")
    if ranking.depth is not None and (k is None or k > ranking.depth):
        raise ValueError(f"{metric} needs ranks beyond {ranking.depth}")
    return _METRICS[name][0](ranking, k)[ranking.relevant > 0]


def coverage(ranking: Ranking) -> float:
    """The share of the catalogue that is among the first `depth` candidates of any query (Ge et al. 2010, section 2).

    Raises:
      ValueError: the ranking has no depth.
    """
    if ranking.shown is None:
        raise ValueError("coverage needs a ranking of some depth")
    return float(ranking.shown.mean()) if len(ranking.shown) else 0.0


def _kept(ranking: Ranking, k: int | None) -> np.ndarray:
    return np.full(len(ranking.rank), True) if k is None else ranking.rank <= k


def _sum(ranking: Ranking, k: int | None, values: np.ndarray) -> np.ndarray:
    """The sum of `values` of the relevant rows among the first k; `[q]`."""
    kept = _kept(ranking, k)
    return np.bincount(ranking.entity[kept], values[kept], len(ranking.relevant))


def _to_find(ranking: Ranking) -> np.ndarray:
    return np.maximum(ranking.relevant, 1)
