"""Finds the held-out positives with the lowest predictions, for pairs without scores."""

from __future__ import annotations

import dataclasses

import numpy as np
import pyarrow as pa

from components.coded_pairs import CodedPairs
from components.ranking_evaluator.task import Ranker, Task
from trainer.ranking.lists import Lists
from trainer.ranking.ranks import rank_catalogue

_BLOCK = 1 << 18


def lowest(ranker: Ranker, shift: np.ndarray, task: Task, pairs: CodedPairs, most: int) -> pa.Table:
    """Returns the `most` held-out pairs with the lowest scores, in ascending order, and their ranks.

    Omits pairs with unknown right entities, which are not candidates. `shift`, float32 `[q]`, is the part of a score
    that
    the ranker leaves out: the bias of the left entity and the offset.

    Returns:
      Columns `left_id`, `right_id`, `score`, `rank` (1 is best), `left_pairs` and `right_pairs` (in training).
    """
    query, place = task.relevant.owners, task.relevant.rows
    row = ranker.row[place]
    query, place, row = query[row >= 0], place[row >= 0], row[row >= 0]
    score = shift[query]
    for at in range(0, len(row), _BLOCK):
        part = slice(at, at + _BLOCK)
        score[part] += _scores(ranker, query[part], row[part])
    worst = np.argsort(score, kind="stable")[:most]
    left, right = task.left[query[worst]], place[worst].astype(np.int64)
    return pa.table(
        {
            "left_id": pairs.left_ids.take(pa.array(left)),
            "right_id": pairs.right_ids.take(pa.array(right)),
            "score": score[worst],
            "rank": _ranks(ranker, task, query[worst], row[worst]),
            "left_pairs": pairs.counts("left")[left],
            "right_pairs": pairs.counts("right")[right],
        }
    )


def _scores(ranker: Ranker, query: np.ndarray, row: np.ndarray) -> np.ndarray:
    return np.einsum("md,md->m", ranker.queries[query], ranker.catalogue[row]) + ranker.bias[row]


def _ranks(ranker: Ranker, task: Task, query: np.ndarray, row: np.ndarray) -> np.ndarray:
    """Returns the rank of catalogue row `row[i]` for query `query[i]`, one pair at a time."""
    seen = task.seen.take(query)
    rows = ranker.row[seen.rows]
    seen = Lists.of_pairs(seen.owners[rows >= 0], rows[rows >= 0], len(query))
    alone = Lists(np.arange(len(query) + 1), row.astype(np.int32))
    repeated = dataclasses.replace(ranker, queries=ranker.queries[query])
    ranking = rank_catalogue(repeated.queries, ranker.catalogue, alone, seen, None, ranker.bias)
    return ranking.rank
