"""The exact best rows for queries, computed a part of the rows at a time."""

from __future__ import annotations

import numpy as np

from trainer.index.centers import Candidates

_ROWS_AT_A_TIME = 1 << 13
# Rows of which only the best score is kept at first. A divisor of the rows at a time.
_RUN = 1 << 8


def best_rows(candidates: Candidates, queries: np.ndarray, k: int, own: np.ndarray | None = None) -> np.ndarray:
    """Returns the rows with the highest scores.

    The best `k` rows are in the `k` runs of rows with the highest best scores, or in one more, because the row of the
    query itself can be the best of a run.

    Args:
      candidates: what is ranked.
      queries: float32 `[q, d]`.
      k: the number of rows, clipped to those that exist.
      own: the row of each query, which is no answer, int64 `[q]`. None if queries are no candidates.

    Returns:
      int64 `[q, k]`, in no order.
    """
    rows = len(candidates.vectors)
    k = max(min(k, rows - (own is not None)), 0)
    if k == 0:
        return np.zeros((len(queries), 0), np.int64)
    highest = []
    for first in range(0, rows, _ROWS_AT_A_TIME):
        scores = candidates.scores(queries, slice(first, first + _ROWS_AT_A_TIME))
        highest.append(np.maximum.reduceat(scores, np.arange(0, scores.shape[1], _RUN), axis=1))
    of_runs = np.concatenate(highest, axis=1)
    count = min(k + 1, of_runs.shape[1])
    runs = np.argpartition(of_runs, -count, axis=1)[:, -count:]
    found = np.empty((len(queries), k), np.int64)
    for number, query in enumerate(queries):
        among = (runs[number][:, None] * _RUN + np.arange(_RUN)).ravel()
        among = among[among < rows]
        scores = candidates.scores(query[None], among)[0]
        if own is not None:
            scores[among == own[number]] = -np.inf
        found[number] = among[np.argpartition(scores, -k)[-k:]]
    return found
