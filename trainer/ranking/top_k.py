"""Exact top-k search in a catalog.

Candidates are ordered by score, highest first. For equal scores, the lower row comes first. Seen rows are not
candidates.
"""

from __future__ import annotations

import numpy as np

from trainer.ranking.blocks import BLOCK_BYTES, for_each_block
from trainer.ranking.lists import Lists

# The number of columns that are replaced by their maximum during the search for the threshold of the top k.
_GROUP = 32


def top_k(
    queries: np.ndarray,
    catalogue: np.ndarray,
    k: int,
    bias: np.ndarray | None = None,
    seen: Lists | None = None,
    block_bytes: int = BLOCK_BYTES,
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the `k` best rows of the catalog for each query.

    Args:
      queries: float32 `[q, d]`.
      catalogue: float32 `[c, d]`.
      k: at least 1. Values above `c` mean `c`.
      bias: float32 `[c]`, added to the score of each candidate.
      seen: the rows of each query that are not candidates.
      block_bytes: the approximate memory of the scores of a block, in bytes.

    Returns:
      Rows int32 and scores float32, both `[q, k]`, best first. Missing candidates have row -1 and score -inf.

    Example:
        rows, scores = top_k(np.float32([[1, 0]]), np.float32([[1, 0], [0, 1], [2, 0]]), k=2)
        # rows is [[2, 0]] and scores is [[2.0, 1.0]]
    """
    k = min(k, len(catalogue))
    rows = np.full((len(queries), k), -1, np.int32)
    best = np.full((len(queries), k), -np.inf, np.float32)

    def keep_best(start: int, scores: np.ndarray) -> None:
        block = slice(start, start + len(scores))
        rows[block], best[block] = best_of(scores, k)

    for_each_block(keep_best, queries, catalogue, bias, seen, block_bytes)
    return rows, best


def best_of(scores: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns the columns int32 and scores float32 of the `k` best of each row of `[b, c]`.

    Both are `[b, k]`, with -1 and -inf for missing candidates.
    """
    query, row = _survivors(scores, k)
    counts = np.bincount(query, minlength=len(scores))
    at = query, np.arange(len(query)) - np.repeat(np.cumsum(counts) - counts, counts)
    rows = np.full((len(scores), max(counts.max(initial=0), k)), -1, np.int32)
    best = np.full(rows.shape, -np.inf, np.float32)
    rows[at], best[at] = row, scores[query, row]
    # The rows of a query are ascending, and stay so for equal scores.
    order = np.argsort(-best, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(rows, order, axis=1), np.take_along_axis(best, order, axis=1)


def _survivors(scores: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns (query, row) of a few scores of `[b, c]`, among them the `k` best of each query and all ties.

    The k-th largest maximum of disjoint groups of columns is at most the k-th largest score, so smaller scores are not
    among the best. The maxima need one fast pass. Partitioning them costs a small part of partitioning the scores.
    """
    count, width = scores.shape
    group = min(_GROUP, width // (4 * k))
    if group > 1:
        even = width - width % group
        maxima = scores[:, :even].reshape(count, group, even // group).max(axis=1)
        maxima = np.concatenate([maxima, scores[:, even:]], axis=1)
    else:
        maxima = scores
    least = np.partition(maxima, maxima.shape[1] - k, axis=1)[:, maxima.shape[1] - k]
    # With fewer than k candidates, the lowest finite number excludes the seen rows.
    least = np.maximum(least, np.finfo(np.float32).min)
    flat = np.flatnonzero(scores >= least[:, None])
    return flat // width, flat % width
