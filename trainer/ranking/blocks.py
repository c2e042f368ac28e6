"""Scores of queries against a whole catalogue, by blocks of queries: one for each core at a time."""

from __future__ import annotations

import concurrent.futures
import os
import threading
from collections.abc import Callable

import numpy as np
import threadpoolctl

from trainer.ranking.lists import Lists

# Scores of a block: they fit into the cache of a core, and a matrix product of so many rows runs at full speed.
BLOCK_BYTES = 2 << 20


def for_each_block(
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
