"""How many groups and blocks a ranking must read to find most of the best rows."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from trainer.index.best import best_rows
from trainer.index.blocks import Blocks, Partition
from trainer.index.centers import Candidates, Centers, Moments

K = 10
# The recall of the default number of blocks, and what it is on the sample: a little more, because a sample has noise.
PROMISED, _AIMED = 0.98, 0.982
# The share of the best rows in the groups that are read.
_IN_GROUPS = 0.998
_QUERIES = 512
_SCORES_AT_A_TIME = 1 << 24
# From this share of all blocks on, reading every row in order takes less time than gathering rows.
_EXACT_SHARE = 0.25


class Probes(NamedTuple):
    """The number of blocks to read, the share of the best rows in them on a sample, and the groups they are among."""

    probes: int
    recall: float
    groups: int


class Described(NamedTuple):
    """The centers of the blocks and of the groups of a partition."""

    blocks: Centers
    groups: Centers

    @classmethod
    def of(cls, partition: Partition, candidates: Candidates) -> Described:
        """Describes the parts of `candidates`."""
        moments = Moments.of(partition.blocks, candidates)
        of_groups = moments.of_runs(partition.firsts[:-1]) if len(moments.sizes) else moments
        return cls(Centers.of(moments), Centers.of(of_groups))


def exact_from(blocks: int) -> int:
    """Returns the number of blocks from which on a ranking reads all rows, at least 1."""
    return max(math.ceil(blocks * _EXACT_SHARE), 1)


def sampled(rows: int, seed: int = 0) -> np.ndarray:
    """Returns rows of a table as queries of a calibration, int64, in ascending order."""
    return np.sort(np.random.default_rng(seed).permutation(rows)[:_QUERIES])


def calibrate(
    candidates: Candidates, partition: Partition, centers: Described, queries: np.ndarray, own: np.ndarray | None = None
) -> Probes:
    """Finds the smallest numbers of groups and of blocks that contain enough of the best `K` rows.

    Args:
      candidates: what is ranked.
      partition: of the candidates.
      centers: of the partition.
      queries: float32 `[q, d]`.
      own: the row of each query, which is no answer, int64 `[q]`. None if queries are no candidates.

    Returns:
      The numbers and the recall on these queries. If that many blocks would be read as all rows, all blocks.
    """
    blocks, groups = len(partition.blocks), len(partition.groups)
    every = Probes(max(blocks, 1), 1.0, max(groups, 1))
    best = best_rows(candidates, queries, K, own)
    if not best.size:
        return every
    of_best = _owner(partition.groups)[best]
    read = _enough(_ranks(centers.groups.scores(queries), of_best), _IN_GROUPS)
    ranks = _ranks_of_blocks(partition, centers, queries, best, read)
    needed = _enough(ranks, _AIMED)
    if needed >= exact_from(blocks):
        return every
    return Probes(needed, float((ranks < needed).mean()), read)


def _enough(ranks: np.ndarray, share: float) -> int:
    """Returns the smallest number such that this share of the ranks, which begin at 0, is below it."""
    return int(np.sort(ranks, axis=None)[math.ceil(share * ranks.size) - 1]) + 1


def _ranks(estimates: np.ndarray, of_best: np.ndarray) -> np.ndarray:
    """Returns how many parts have a higher estimate than those of the best rows, int64 `[q, k]`."""
    pairs = zip(np.sort(estimates), np.take_along_axis(estimates, of_best, axis=1), strict=True)
    return np.stack(
        [estimates.shape[1] - np.searchsorted(ascending, of_query, "right") for ascending, of_query in pairs]
    )


def _ranks_of_blocks(
    partition: Partition, centers: Described, queries: np.ndarray, best: np.ndarray, groups: int
) -> np.ndarray:
    """Returns how many blocks are read before those of the best rows, int64 `[q, k]`.

    A block in a group that is not read comes after all others.
    """
    owner, group = _owner(partition.blocks), np.repeat(np.arange(len(partition.groups)), np.diff(partition.firsts))
    step = max(_SCORES_AT_A_TIME // len(group), 1)
    found = []
    for start in range(0, len(queries), step):
        part = queries[start : start + step]
        of_groups = centers.groups.scores(part)
        least = np.partition(of_groups, -groups, axis=1)[:, -groups, None]
        estimates = np.where((of_groups >= least)[:, group], centers.blocks.scores(part), -np.inf)
        of_best = owner[best[start : start + step]]
        missed = np.isneginf(np.take_along_axis(estimates, of_best, axis=1))
        found.append(np.where(missed, len(group), _ranks(estimates, of_best)))
    return np.concatenate(found)


def _owner(parts: Blocks) -> np.ndarray:
    """Returns the part that each row is in, int64 `[rows]`."""
    owner = np.empty(len(parts.order), np.int64)
    owner[parts.order] = np.repeat(np.arange(len(parts)), parts.sizes)
    return owner
