"""Pairs that a list must not repeat, as rows of the model's tables."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc


class SeenPairs:
    """The partners of each query.

    Args:
      pairs: the ids of queries and of their partners, as binary.
      queries: the ids of all queries that the model knows, in the order of its table.
      partners: the same for the other side.
    """

    def __init__(self, pairs: Iterable[tuple[pa.Array, pa.Array]], queries: pa.Array, partners: pa.Array) -> None:
        codes = [np.empty(0, np.int64)]
        for own, other in pairs:
            rows, others = rows_of(own, queries), rows_of(other, partners)
            known = (rows >= 0) & (others >= 0)
            codes.append(rows[known] * len(partners) + others[known])
        distinct = np.unique(np.concatenate(codes))
        self._count = len(partners)
        self._partners = distinct % max(len(partners), 1)
        self._starts = np.searchsorted(distinct, np.arange(len(queries) + 1) * len(partners))

    def counts(self, rows: np.ndarray) -> np.ndarray:
        """Returns the number of partners of each of the queries `rows`, int `[n]`."""
        counts: np.ndarray = self._starts[rows + 1] - self._starts[rows]
        return counts

    def mask(self, rows: np.ndarray, answers: np.ndarray) -> np.ndarray:
        """Returns whether each answer is a partner of its query.

        Args:
          rows: the queries, int `[n]`.
          answers: rows of the other side, int `[n, k]`.

        Returns:
          Bool `[n, k]`.
        """
        counts = self.counts(rows)
        owner = np.repeat(np.arange(len(rows)), counts)
        begins = np.cumsum(counts) - counts
        partners = self._partners[np.arange(len(owner)) + np.repeat(self._starts[rows] - begins, counts)]
        # Codes of query and answer. Row -1, which stands for no answer, is 0.
        width = self._count + 1
        return np.isin(np.arange(len(rows))[:, None] * width + answers + 1, owner * width + partners + 1)


def rows_of(ids: pa.Array, table: pa.Array) -> np.ndarray:
    """Returns the row of each id in `table`, int64 `[n]`, and -1 for an id that is not in it."""
    found: np.ndarray = pc.fill_null(pc.index_in(ids, value_set=table), -1).to_numpy(zero_copy_only=False)
    return found.astype(np.int64)
