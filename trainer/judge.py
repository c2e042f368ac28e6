"""Measures a model of positives by the ranking of held-out pairs, during training and between trainings."""

from __future__ import annotations

import dataclasses

import numpy as np

from trainer.data.pairs import Pairs, TrainingPairs
from trainer.ranking import ranking_metrics
from trainer.ranking.lists import Lists
from trainer.ranking.ranks import rank_catalogue

# A mean over so many left entities decides between models that differ by a few percent, and costs a part of a sweep.
QUERIES = 4_000
# Scores that are computed in any case: with small catalogs, of more left entities. Rankings of sparse pairs have few
# hits, so that a mean over few of them is mostly luck.
_SCORES = 1 << 28
_ROWS = 1 << 20


class Judge:
    """Ranks the catalog for a sample of the left entities with held-out pairs.

    The right entities of an entity's training pairs are not candidates, nor are entities without training pairs. A
    held-out pair with such a right entity counts as not found.

    Args:
      metric: a ranking metric that is defined for each query, such as `ndcg@10`.
      kept: the training pairs.
      held: the held-out pairs.
      entities: the numbers of left and right entities.
      shared: whether both sides are one table. Then an entity is not a candidate for itself.
      seed: of the sample.
    """

    def __init__(
        self, metric: str, kept: TrainingPairs, held: Pairs, entities: tuple[int, int], shared: bool, seed: int
    ) -> None:
        self.name = f"val_{metric}"
        self._metric = metric
        self._depth = ranking_metrics.parse(metric)[1]
        queries = np.unique(held.left)
        most = max(QUERIES, _SCORES // max(entities[1], 1))
        if len(queries) > most:
            queries = np.sort(np.random.default_rng(seed).choice(queries, most, replace=False))
        self._queries = queries
        wanted = np.zeros(entities[0], bool)
        wanted[queries] = True
        seen = [np.zeros((0, 2), np.int32)]
        for part in kept.shuffled(np.random.default_rng(0), _ROWS):
            rows = wanted[part.left]
            seen.append(np.stack([part.left[rows], part.right[rows]], axis=1))
        if shared:
            seen.append(np.stack([queries, queries], axis=1).astype(np.int32))
        left, right = np.concatenate(seen).T
        self._seen = Lists.of_pairs(left, right, entities[0]).take(queries)
        mine = wanted[held.left]
        relevant = Lists.of_pairs(held.left[mine], held.right[mine], entities[0]).take(queries)
        self._relevant = relevant.without(self._seen)
        _, occurrences = kept.occurrences(entities)
        self._unknown = np.where(occurrences > 0, 0, -np.inf).astype(np.float32)

    def __len__(self) -> int:
        """Returns the number of left entities that are ranked."""
        return len(self._queries)

    def per_query(self, left: np.ndarray, right: np.ndarray, bias: np.ndarray | None = None) -> np.ndarray:
        """Returns the metric of each query with a relevant pair, float64 `[q]`.

        Args:
          left: left vectors, float32 `[rows, d]`.
          right: right vectors, float32 `[rows, d]`.
          bias: right biases, float32 `[rows]`, or None.
        """
        offsets = self._unknown if bias is None else bias + self._unknown
        ranking = rank_catalogue(left[self._queries], right, self._relevant, self._seen, self._depth, offsets)
        ranking = dataclasses.replace(ranking, relevant=self._relevant.counts)
        return ranking_metrics.per_query(ranking, self._metric)

    def mean(self, left: np.ndarray, right: np.ndarray, bias: np.ndarray | None = None) -> float:
        """Returns the mean of `per_query`, or 0 without queries."""
        values = self.per_query(left, right, bias)
        return float(values.mean()) if len(values) else 0.0
