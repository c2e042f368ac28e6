"""Pairs that a list must not repeat, as rows of the model's tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from trainer.data.examples import SIDES, Examples


class SeenPairs:
    """The partners of each query.

    Args:
      pairs: rows of queries and of their partners, int64 `[n]` each. -1 stands for an unknown id.
      queries: the number of queries that the model knows.
      partners: the number of entities of the other side that it knows.
    """

    def __init__(self, pairs: Iterable[tuple[np.ndarray, np.ndarray]], queries: int, partners: int) -> None:
        codes = [np.empty(0, np.int64)]
        for own, other in pairs:
            known = (own >= 0) & (other >= 0)
            codes.append(own[known] * partners + other[known])
        distinct = np.unique(np.concatenate(codes))
        self._count = partners
        self._partners = distinct % max(partners, 1)
        self._starts = np.searchsorted(distinct, np.arange(queries + 1) * partners)

    @classmethod
    def of_ids(cls, pairs: Iterable[tuple[pa.Array, pa.Array]], queries: pa.Array, partners: pa.Array) -> SeenPairs:
        """Finds the rows of ids.

        Args:
          pairs: the ids of queries and of their partners, as binary.
          queries: the ids of all queries that the model knows, in the order of its table.
          partners: the same for the other side.
        """
        rows = ((rows_of(own, queries), rows_of(other, partners)) for own, other in pairs)
        return cls(rows, len(queries), len(partners))

    @classmethod
    def of_examples(
        cls, uri: str, splits: Sequence[str], queried: str, queries: pa.Array, partners: pa.Array
    ) -> SeenPairs:
        """Reads the pairs of a run.

        Args:
          uri: the folder of the `Examples`.
          splits: the splits to read.
          queried: the side of the queries, `left` or `right`.
          queries: as in `of_ids`.
          partners: as in `of_ids`.
        """
        examples = Examples(uri)
        tables = (queries, partners) if queried == "left" else (partners, queries)
        left, right = (rows_of(examples.entities(side).ids, table) for side, table in zip(SIDES, tables, strict=True))
        blocks = (block for split in splits for block in examples.blocks(split))
        rows = ((left[block.left], right[block.right]) for block in blocks)
        return cls((pair if queried == "left" else pair[::-1] for pair in rows), len(queries), len(partners))

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
    found: np.ndarray = pc.fill_null(pc.index_in(ids, value_set=table.cast(ids.type)), -1).to_numpy(
        zero_copy_only=False
    )
    return found.astype(np.int64)
