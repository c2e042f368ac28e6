"""Where what is to be found stands in an exact ranking of a whole catalogue, or of given candidates, in plain NumPy.

Candidates are ordered by score, highest first; of equal scores the lower row comes first. What is `seen` is no
candidate and nothing to find.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from trainer.ranking.blocks import BLOCK_BYTES, for_each_block
from trainer.ranking.lists import Lists, is_in
from trainer.ranking.top_k import best_of


@dataclasses.dataclass(frozen=True)
class Ranking:
    """Where what was to be found stands among the candidates.

    `rank` is 1 for the best candidate. A relevant row beyond `depth` is not listed; `depth` None: all are.
    """

    entity: np.ndarray  # int64 [h], ascending: whose row it is, by number of the query
    rank: np.ndarray  # int64 [h]
    relevant: np.ndarray  # int64 [q]: how many rows there were to find
    candidates: int
    depth: int | None = None
    shown: np.ndarray | None = None  # bool [c]: which candidates are among the first `depth` of any query


def rank_catalogue(
    queries: np.ndarray,
    catalogue: np.ndarray,
    relevant: Lists,
    seen: Lists,
    depth: int | None,
    bias: np.ndarray | None = None,
    block_bytes: int = BLOCK_BYTES,
) -> Ranking:
    """Ranks the whole catalogue `[c, d]` for queries `[q, d]`, without what each has `seen`.

    Args:
      queries: float32 `[q, d]`.
      catalogue: float32 `[c, d]`.
      relevant: what is to be found for each query; seen rows among it are left out.
      seen: for each query the rows that are no candidates.
      depth: ranks beyond it are not looked for; None: the rank of every relevant row, which costs a comparison of it
        with the whole catalogue.
      bias: float32 `[c]`, added to the score of each candidate.
      block_bytes: about the memory of the scores that are held at a time.
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
    """The rank of every relevant row."""
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
    """The ranks of those relevant rows that are among the first `depth`."""
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
    """Ranks, for each query, what is relevant among its own `candidates` and itself, as a set: the sampled protocol.

    (He et al. 2017, section 4.1: one held-out row among 99 others. Krichene & Rendle 2020 say why such figures are
    not those of the whole catalogue.)
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
    """The rank of every relevant row of a block `[b, c]`: one more than the candidates that come before it."""
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
