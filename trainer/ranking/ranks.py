"""Exact ranking of a whole catalogue, or of given candidates, in plain NumPy: matrix products and partial top-k.

Candidates are ordered by score, highest first; of equal scores the lower row comes first. What is `seen` is no
candidate and nothing to find. Each core works on a block of queries at a time: that bounds the memory.
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
import os
import threading
from collections.abc import Callable

import numpy as np
import threadpoolctl

# Scores of a block: they fit into the cache of a core, and a matrix product of so many rows runs at full speed.
_BLOCK_BYTES = 2 << 20
# Columns whose largest score stands for all of them when the threshold of the top k is looked for.
_GROUP = 32


@dataclasses.dataclass(frozen=True)
class Lists:
    """A list of distinct right rows, ascending, for each of `len` left entities, one after the other."""

    offsets: np.ndarray  # int64 [n + 1]
    rows: np.ndarray  # int32 [offsets[-1]]

    @classmethod
    def of_pairs(cls, owner: np.ndarray, rows: np.ndarray, owners: int) -> Lists:
        """Lists `rows` `[m]` by `owner` `[m]`, in `[0, owners)`; what occurs several times counts once."""
        width = int(rows.max(initial=0)) + 1
        keys = np.unique(owner.astype(np.int64) * width + rows)
        counts = np.bincount(keys // width, minlength=owners)
        return cls(np.concatenate([[0], np.cumsum(counts)]), (keys % width).astype(np.int32))

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def owners(self) -> np.ndarray:
        """Whose list each row is in; int64 `[m]`."""
        return np.repeat(np.arange(len(self)), self.counts)

    @property
    def counts(self) -> np.ndarray:
        """The length of each list; int64 `[n]`."""
        return np.diff(self.offsets)

    def slice(self, start: int, stop: int) -> Lists:
        """The lists `[start, stop)`."""
        first, last = self.offsets[start], self.offsets[stop]
        return Lists(self.offsets[start : stop + 1] - first, self.rows[first:last])

    def take(self, which: np.ndarray) -> Lists:
        """The lists `which` `[q]`, in that order."""
        counts = self.counts[which]
        offsets = np.concatenate([[0], np.cumsum(counts)])
        at = np.arange(offsets[-1]) - np.repeat(offsets[:-1] - self.offsets[which], counts)
        return Lists(offsets, self.rows[at])

    def without(self, other: Lists) -> Lists:
        """What of each list is not in the same list of `other`."""
        width = int(max(self.rows.max(initial=0), other.rows.max(initial=0))) + 1
        owners = self.owners
        kept = ~_is_in(owners * width + self.rows, other.owners * width + other.rows)
        return Lists(np.concatenate([[0], np.cumsum(np.bincount(owners[kept], minlength=len(self)))]), self.rows[kept])


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


def top_k(
    queries: np.ndarray,
    catalogue: np.ndarray,
    k: int,
    bias: np.ndarray | None = None,
    seen: Lists | None = None,
    block_bytes: int = _BLOCK_BYTES,
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
        rows[block], best[block] = _best(scores, k)

    _for_each_block(keep_best, queries, catalogue, bias, seen, block_bytes)
    return rows, best


def rank_catalogue(
    queries: np.ndarray,
    catalogue: np.ndarray,
    relevant: Lists,
    seen: Lists,
    depth: int | None,
    bias: np.ndarray | None = None,
    block_bytes: int = _BLOCK_BYTES,
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
        relevant = relevant.without(seen)
        rank = np.empty(len(relevant.rows), np.int64)

        def keep_ranks(start: int, scores: np.ndarray) -> None:
            mine = relevant.slice(start, start + len(scores))
            rank[relevant.offsets[start] : relevant.offsets[start + len(scores)]] = _full_ranks(scores, mine)

        _for_each_block(keep_ranks, queries, catalogue, bias, seen, block_bytes)
        order = np.lexsort((rank, relevant.owners))
        return Ranking(relevant.owners[order], rank[order], relevant.counts, len(catalogue))
    width = len(catalogue)
    k = min(depth, width)
    to_find = np.zeros(len(queries), np.int64)
    hit = np.zeros((len(queries), k), bool)
    shown = np.zeros(width, bool)

    def keep_hits(start: int, scores: np.ndarray) -> None:
        block = slice(start, start + len(scores))
        listed, value = _best(scores, k)
        mine = relevant.slice(block.start, block.stop)
        wanted = mine.owners * width + mine.rows
        to_find[block] = np.bincount(mine.owners[scores.reshape(-1)[wanted] > -np.inf], minlength=len(scores))
        hit[block] = _is_in(np.arange(len(scores))[:, None] * width + listed, wanted) & (value > -np.inf)
        shown[listed[value > -np.inf]] = True

    _for_each_block(keep_hits, queries, catalogue, bias, seen, block_bytes)
    entity, place = np.nonzero(hit)
    return Ranking(entity, place + 1, to_find, width, depth, shown)


def rank_candidates(
    queries: np.ndarray,
    catalogue: np.ndarray,
    relevant: Lists,
    candidates: Lists,
    bias: np.ndarray | None = None,
    block_bytes: int = _BLOCK_BYTES,
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
    hit = _is_in(keys[order], wanted)
    return Ranking(query[order][hit], place[hit] + 1, relevant.counts, width)


def _for_each_block(
    work: Callable[[int, np.ndarray], None],
    queries: np.ndarray,
    catalogue: np.ndarray,
    bias: np.ndarray | None,
    seen: Lists | None,
    block_bytes: int,
) -> None:
    """Calls `work` with the number of the first query and the scores `[b, c]`, -inf for what is seen, of each block."""
    count = max(block_bytes // (4 * max(len(catalogue), 1)), 1)
    queries, transposed = queries.astype(np.float32, copy=False), catalogue.astype(np.float32, copy=False).T
    buffers = threading.local()  # a core's scores, each block in the place of the one before

    def block(start: int) -> None:
        if not hasattr(buffers, "scores"):
            buffers.scores = np.empty((min(count, len(queries)), len(catalogue)), np.float32)
        some = queries[start : start + count]
        scores = np.matmul(some, transposed, out=buffers.scores[: len(some)])
        if bias is not None:
            scores += bias
        if seen is not None:
            mine = seen.slice(start, start + len(scores))
            flat = scores.reshape(-1)  # one index costs less than two
            flat[mine.owners * len(catalogue) + mine.rows] = -np.inf
        work(start, scores)

    # A core for each block: the passes over the scores are as long as the products, and only these have threads.
    with threadpoolctl.threadpool_limits(1, "blas"), concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(block, range(0, len(queries), count)))


def _best(scores: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
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


def _is_in(keys: np.ndarray, among: np.ndarray) -> np.ndarray:
    """Which of `keys` are in `among`, which is sorted; bool, of the shape of `keys`."""
    if not len(among):
        return np.zeros(keys.shape, bool)
    at = np.searchsorted(among, keys).clip(max=len(among) - 1)
    return np.asarray(among[at] == keys)
