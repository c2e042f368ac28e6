"""Rankings of cold entities: the right entities without a pair in the train split, among themselves.

Entities with pairs are better known, so that a common ranking would say little about the others.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from components.coded_pairs import CodedPairs
from components.evaluator.figures import POPULARITY, Figure
from components.evaluator.names import COLD
from components.evaluator.slices import OVERALL
from components.ranking_evaluator.measure import measure
from components.ranking_evaluator.task import Ranker, Task
from trainer.ranking.lists import Lists

_NONE = "no eval pair has a right entity without a pair in train"


def measure_cold(
    metrics: Sequence[str], candidate: Ranker, others: Mapping[str, Ranker], task: Task, pairs: CodedPairs
) -> list[Figure]:
    """Returns the figures of metrics with the prefix `cold_`, on the left entities with cold positives.

    Popularity knows nothing about cold entities. Here it ranks them in the order of the vocabulary.

    Args:
      metrics: names without the prefix.
      candidate: the ranker of the candidate.
      others: the rankers of the other models.
      task: the task of all entities.
      pairs: both splits.
    """
    trained = pairs.counts("right") > 0
    owners, rows = task.relevant.owners, task.relevant.rows
    cold = ~trained[rows]
    relevant = Lists.of_pairs(owners[cold], rows[cold], len(task.left))
    queries = np.flatnonzero(relevant.counts)
    if not len(queries):
        return [Figure(COLD + metric, OVERALL, 0, None, missing=_NONE) for metric in metrics]
    of_cold = Task(task.left[queries], relevant.take(queries), task.seen.take(queries))
    mine = _among_cold(candidate, trained, queries)
    models = {name: _among_cold(ranker, trained, queries) for name, ranker in others.items()}
    if POPULARITY in models:
        blank = np.zeros((len(queries), 1), np.float32), np.zeros((len(mine.catalogue), 1), np.float32)
        models[POPULARITY] = Ranker(*blank, np.zeros(len(mine.catalogue), np.float32), mine.row)
    figures = measure(metrics, mine, models, of_cold, {})
    return [dataclasses.replace(figure, metric=COLD + figure.metric) for figure in figures]


def _among_cold(ranker: Ranker, trained: np.ndarray, queries: np.ndarray) -> Ranker:
    """Returns the ranker for some queries, with the rows of its catalogue that are of no trained right id."""
    cold = np.ones(len(ranker.catalogue), bool)
    known = ranker.row[trained]
    cold[known[known >= 0]] = False
    listed = ranker.row >= 0
    listed[listed] = cold[ranker.row[listed]]
    row = np.where(listed, (np.cumsum(cold) - 1)[ranker.row], -1)
    return Ranker(ranker.queries[queries], ranker.catalogue[cold], ranker.bias[cold], row)
