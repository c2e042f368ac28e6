"""Computes the scores of queries and a whole catalog in blocks of queries, one block per core at a time."""

from __future__ import annotations

import concurrent.futures
import contextlib
import functools
import os
import threading
from collections.abc import Callable
from typing import cast

import numpy as np
import threadpoolctl

from kindred import progress
from trainer.ranking.lists import Lists

QUERIES = "left entities"
"""What `kindred.progress` counts."""
# The memory of the scores of a block. Smaller blocks read the catalog too often, and larger ones leave the cache.
BLOCK_BYTES = 16 << 20
# A block reads the whole catalog. So with a large one, it has so many queries, in at most so many times the memory.
_QUERIES, _MOST_TIMES = 32, 4


def cores() -> int:
    """Returns the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@functools.cache
def _libraries() -> threadpoolctl.ThreadpoolController:
    # To find the libraries of a process takes longer than many of the computations.
    return threadpoolctl.ThreadpoolController()


def one_blas_thread() -> contextlib.AbstractContextManager[object]:
    """Returns a context in which each matrix product uses one thread, for work that is parallel by itself."""
    return cast("contextlib.AbstractContextManager[object]", _libraries().limit(limits=1, user_api="blas"))


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
    count = _queries(block_bytes, 4 * max(len(catalogue), 1))
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
    with one_blas_thread(), concurrent.futures.ThreadPoolExecutor(cores()) as pool:
        list(pool.map(block, range(0, len(queries), count)))


def _queries(block_bytes: int, row_bytes: int) -> int:
    """Returns the number of queries of a block, whose scores take `row_bytes` each."""
    return max(block_bytes // row_bytes, min(_QUERIES, _MOST_TIMES * block_bytes // row_bytes), 1)
