"""The best of a catalogue for each query, exactly.

Candidates are ordered by score, highest first; of equal scores the lower row comes first. What is `seen` is no
candidate.
"""

from __future__ import annotations

import numpy as np

from trainer.ranking.blocks import BLOCK_BYTES, for_each_block
from trainer.ranking.lists import Lists

# Columns whose largest score stands for all of them when the threshold of the top k is looked for.
_GROUP = 32


def top_k(
    queries: np.ndarray,
    catalogue: np.ndarray,
    k: int,
    bias: np.ndarray | None = None,
    seen: Lists | None = None,
    block_bytes: int = BLOCK_BYTES,
) -> tuple[np.ndarray, np.ndarray]:
    """The `k` best of the catalogue for each query, exactly.

    Args:
      queries: float32 `[q, d]`.
      catalogue: float32 `[c, d]`.
      k: at least 1; more than `c` is `c`.
      bias: float32 `[c]`, added to the score of each candidate.
      seen: for each query the rows that are no candidates.
      block_bytes: about the memory of the scores that are held at a time.

    Returns:
      Rows int32 and scores float32, both `[q, k]`, best first; row -1 and score -inf where candidates end.
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
    """The columns int32 and scores float32 of the `k` best of each row of `[b, c]`; -1 and -inf where there are fewer.

    Both are `[b, k]`.
    """
    query, row = _survivors(scores, k)
    counts = np.bincount(query, minlength=len(scores))
    at = query, np.arange(len(query)) - np.repeat(np.cumsum(counts) - counts, counts)
    rows = np.full((len(scores), max(counts.max(initial=0), k)), -1, np.int32)
    best = np.full(rows.shape, -np.inf, np.float32)
    rows[at], best[at] = row, scores[query, row]
    # The rows of a query ascend, and stay so where their scores are equal.
    order = np.argsort(-best, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(rows, order, axis=1), np.take_along_axis(best, order, axis=1)


def _survivors(scores: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """(query, row) of few scores of `[b, c]`, among them the `k` best of each query with all that equal the last one.

    The k-th best of the maxima of disjoint groups of columns is no larger than the k-th best of all, so that what lies
    below it is out; the maxima cost one fast pass, and partitioning them a small part of partitioning the scores.
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
    # The lowest finite number, where there are fewer than k candidates, keeps those that are none out.
    least = np.maximum(least, np.finfo(np.float32).min)
    flat = np.flatnonzero(scores >= least[:, None])
    return flat // width, flat % width
