"""Computes the scores of queries and a whole catalog in blocks of queries, one block per core at a time."""

from __future__ import annotations

import concurrent.futures
import os
import threading
from collections.abc import Callable

import numpy as np
import threadpoolctl

from kindred import progress
from trainer.ranking.lists import Lists

QUERIES = "left entities"
"""What `kindred.progress` counts."""
# The number of scores of a block. They fit into the cache of a core, and a matrix product of this size has full speed.
BLOCK_BYTES = 2 << 20


def cores() -> int:
    """Returns the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def for_each_block(
    work: Callable[[int, np.ndarray], None],
    queries: np.ndarray,
    catalogue: np.ndarray,
    bias: np.ndarray | None,
    seen: Lists | None,
    block_bytes: int,
) -> None:
    """Computes the scores of each block, -inf for seen rows, and calls `work`.

    Args:
      work: takes the number of the first query and the scores `[b, c]` of a block.
      queries: float32 `[q, d]`.
      catalogue: float32 `[c, d]`.
      bias: float32 `[c]`, added to the score of each candidate.
      seen: the rows of each query that are not candidates.
      block_bytes: the approximate memory of the scores of a block, in bytes.
    """
    count = max(block_bytes // (4 * max(len(catalogue), 1)), 1)
    queries, transposed = queries.astype(np.float32, copy=False), catalogue.astype(np.float32, copy=False).T
    buffers = threading.local()  # each core reuses the memory of its scores

    def block(start: int) -> None:
        if not hasattr(buffers, "scores"):
            buffers.scores = np.empty((min(count, len(queries)), len(catalogue)), np.float32)
        some = queries[start : start + count]
        scores = np.matmul(some, transposed, out=buffers.scores[: len(some)])
        if bias is not None:
            scores += bias
        if seen is not None:
            mine = seen.slice(start, start + len(scores))
            flat = scores.reshape(-1)  # one index is faster than two
            flat[mine.owners * len(catalogue) + mine.rows] = -np.inf
        work(start, scores)
        progress.advance(QUERIES, len(scores))

    # One block per core. Passes over the scores take as long as the products, and only products are multithreaded.
    with threadpoolctl.threadpool_limits(1, "blas"), concurrent.futures.ThreadPoolExecutor(cores()) as pool:
        list(pool.map(block, range(0, len(queries), count)))
