"""How many blocks a ranking must read to find most of the best rows."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from trainer.index.blocks import Blocks
from trainer.index.centers import Candidates, Centers

K = 10
# The recall of the default number of blocks, and what it is on the sample: a little more, because a sample has noise.
PROMISED, _AIMED = 0.98, 0.982
_QUERIES = 512
_SCORES_AT_A_TIME = 1 << 24
# From this share of all blocks on, reading every row in order takes less time than gathering rows.
_EXACT_SHARE = 0.25


class Probes(NamedTuple):
    """The number of blocks to read, and the share of the best rows in them, on a sample of queries."""

    probes: int
    recall: float


def exact_from(blocks: int) -> int:
    """Returns the number of blocks from which on a ranking reads all rows, at least 1."""
    return max(math.ceil(blocks * _EXACT_SHARE), 1)


def sampled(rows: int, seed: int = 0) -> np.ndarray:
    """Returns rows of a table as queries of a calibration, int64, in ascending order."""
    return np.sort(np.random.default_rng(seed).permutation(rows)[:_QUERIES])


def calibrate(
    candidates: Candidates, blocks: Blocks, centers: Centers, queries: np.ndarray, own: np.ndarray | None = None
) -> Probes:
    """Finds the smallest number of blocks that contain enough of the best `K` rows.

    Args:
      candidates: what is ranked.
      blocks: of the candidates.
      centers: of the blocks.
      queries: float32 `[q, d]`.
      own: the row of each query, which is no answer, int64 `[q]`. None if queries are no candidates.

    Returns:
      The number of blocks and the recall on these queries. If that many blocks would be read as all rows, all blocks.
    """
    every = Probes(max(len(blocks), 1), 1.0)
    ranks = _ranks_of_best(candidates, blocks, centers, queries, own)
    if not len(ranks):
        return every
    needed = int(ranks[math.ceil(_AIMED * len(ranks)) - 1]) + 1
    if needed >= exact_from(len(blocks)):
        return every
    return Probes(needed, float(np.searchsorted(ranks, needed) / len(ranks)))


def _ranks_of_best(
    candidates: Candidates, blocks: Blocks, centers: Centers, queries: np.ndarray, own: np.ndarray | None
) -> np.ndarray:
    """Returns, for the best rows of all queries, how many blocks are read before theirs, in ascending order."""
    owner = np.empty(len(blocks.order), np.int64)
    owner[blocks.order] = np.repeat(np.arange(len(blocks)), blocks.sizes)
    step = max(_SCORES_AT_A_TIME // max(len(owner), 1), 1)
    found = [np.zeros(0, np.int64)]
    for start in range(0, len(queries), step):
        part = queries[start : start + step]
        best = _best(candidates.scores(part), None if own is None else own[start : start + step])
        estimates = centers.scores(part)
        of_best = np.take_along_axis(estimates, owner[best], axis=1)
        pairs = zip(np.sort(estimates), of_best, strict=True)
        found += [len(blocks) - np.searchsorted(ascending, of_query, "right") for ascending, of_query in pairs]
    return np.sort(np.concatenate(found))


def _best(scores: np.ndarray, own: np.ndarray | None) -> np.ndarray:
    """Returns the best `K` of `scores` `[q, rows]`, or all if there are fewer, int64 `[q, K]` in no order."""
    if own is not None:
        scores[np.arange(len(own)), own] = -np.inf
    k = min(K, scores.shape[1] - (own is not None))
    return np.argpartition(scores, -k, axis=1)[:, -k:] if k > 0 else np.zeros((len(scores), 0), np.int64)
