"""Ranks of relevant rows in an exact ranking of a whole catalog or of given candidates.

Candidates are ordered by score, highest first. For equal scores, the lower row comes first. Seen rows are neither
candidates nor relevant.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from trainer.ranking.blocks import BLOCK_BYTES, for_each_block
from trainer.ranking.lists import Lists, is_in
from trainer.ranking.top_k import best_of


@dataclasses.dataclass(frozen=True)
class Ranking:
    """The ranks of relevant rows among the candidates.

    Attributes:
      entity: the query of each relevant row, ascending.
      rank: of each relevant row. The best candidate has rank 1.
      relevant: the number of relevant rows of each query.
      candidates: the number of candidates.
      depth: relevant rows beyond this rank are omitted. None omits none.
      shown: whether each candidate is among the first `depth` of any query.
    """

    entity: np.ndarray  # int64 [h]
    rank: np.ndarray  # int64 [h]
    relevant: np.ndarray  # int64 [q]
    candidates: int
    depth: int | None = None
    shown: np.ndarray | None = None  # bool [c]


def rank_catalogue(
    queries: np.ndarray,
    catalogue: np.ndarray,
    relevant: Lists,
    seen: Lists,
    depth: int | None,
    bias: np.ndarray | None = None,
    block_bytes: int = BLOCK_BYTES,
) -> Ranking:
    """Ranks the whole catalog for each query, without the rows that it has seen.

    Args:
      queries: float32 `[q, d]`.
      catalogue: float32 `[c, d]`.
      relevant: the rows to find for each query. Seen rows are removed.
      seen: the rows of each query that are not candidates.
      depth: the largest rank of interest. None computes the rank of every relevant row, which compares each with the
        whole catalog.
      bias: float32 `[c]`, added to the score of each candidate.
      block_bytes: the approximate memory of the scores of a block, in bytes.
    """
    if depth is None:
        return _rank_all(queries, catalogue, relevant, seen, bias, block_bytes)
    return _rank_first(queries, catalogue, relevant, seen, depth, bias, block_bytes)


def _rank_all(
    queries: np.ndarray,
    catalogue: np.ndarray,
    relevant: Lists,
    seen: Lists,
    bias: np.ndarray | None,
    block_bytes: int,
) -> Ranking:
    """Returns the rank of every relevant row."""
    relevant = relevant.without(seen)
    rank = np.empty(len(relevant.rows), np.int64)

    def keep_ranks(start: int, scores: np.ndarray) -> None:
        mine = relevant.slice(start, start + len(scores))
        rank[relevant.offsets[start] : relevant.offsets[start + len(scores)]] = _full_ranks(scores, mine)

    for_each_block(keep_ranks, queries, catalogue, bias, seen, block_bytes)
    order = np.lexsort((rank, relevant.owners))
    return Ranking(relevant.owners[order], rank[order], relevant.counts, len(catalogue))


def _rank_first(
    queries: np.ndarray,
    catalogue: np.ndarray,
    relevant: Lists,
    seen: Lists,
    depth: int,
    bias: np.ndarray | None,
    block_bytes: int,
) -> Ranking:
    """Returns the ranks of relevant rows among the first `depth`."""
    width = len(catalogue)
    k = min(depth, width)
    to_find = np.zeros(len(queries), np.int64)
    hit = np.zeros((len(queries), k), bool)
    shown = np.zeros(width, bool)

    def keep_hits(start: int, scores: np.ndarray) -> None:
        block = slice(start, start + len(scores))
        listed, value = best_of(scores, k)
        mine = relevant.slice(block.start, block.stop)
        wanted = mine.owners * width + mine.rows
        to_find[block] = np.bincount(mine.owners[scores.reshape(-1)[wanted] > -np.inf], minlength=len(scores))
        hit[block] = is_in(np.arange(len(scores))[:, None] * width + listed, wanted) & (value > -np.inf)
        shown[listed[value > -np.inf]] = True

    for_each_block(keep_hits, queries, catalogue, bias, seen, block_bytes)
    entity, place = np.nonzero(hit)
    return Ranking(entity, place + 1, to_find, width, depth, shown)


def rank_candidates(
    queries: np.ndarray,
    catalogue: np.ndarray,
    relevant: Lists,
    candidates: Lists,
    bias: np.ndarray | None = None,
    block_bytes: int = BLOCK_BYTES,
) -> Ranking:
    """Ranks the relevant rows of each query among given candidates (the sampled protocol).

    See He et al. 2017, section 4.1: one held-out row among 99 others. Krichene & Rendle 2020 explain why such metrics
    differ from those of the whole catalog.

    Args:
      queries: float32 `[q, d]`.
      catalogue: float32 `[c, d]`.
      relevant: the rows to find for each query. They are also candidates.
      candidates: the other candidates of each query.
      bias: float32 `[c]`, added to the score of each candidate.
      block_bytes: the approximate memory of the scores of a block, in bytes.
    """
    width = len(catalogue)
    wanted = relevant.owners * width + relevant.rows
    keys = np.union1d(wanted, candidates.owners * width + candidates.rows)
    query, row = keys // width, keys % width
    scores = np.empty(len(keys), np.float32)
    step = max(block_bytes // (8 * queries.shape[1]), 1)
    for start in range(0, len(keys), step):
        part = slice(start, start + step)
        scores[part] = np.einsum("md,md->m", queries[query[part]], catalogue[row[part]])
    if bias is not None:
        scores += bias[row]
    order = np.lexsort((row, -scores, query))
    place = np.arange(len(keys)) - np.searchsorted(query, query)
    hit = is_in(keys[order], wanted)
    return Ranking(query[order][hit], place[hit] + 1, relevant.counts, width)


def _full_ranks(scores: np.ndarray, relevant: Lists) -> np.ndarray:
    """Returns the rank of every relevant row of a block `[b, c]`: the number of better candidates plus 1."""
    owners = relevant.owners
    rank = np.empty(len(owners), np.int64)
    columns = np.arange(scores.shape[1])
    step = max(len(scores) // 4, 1)
    for first in range(0, len(owners), step):
        part = slice(first, first + step)
        own, row = scores[owners[part]], relevant.rows[part]
        value = own[np.arange(len(row)), row][:, None]
        before = (own > value) | ((own == value) & (columns < row[:, None]))
        rank[part] = 1 + before.sum(axis=1)
    return rank
