"""Ranks the best entities for many queries with the signatures of a published model."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Protocol

import numpy as np
import pyarrow as pa

from components.batch_lists.seen import SeenPairs, rows_of
from trainer.features import LEFT, RIGHT

OTHER = {LEFT: RIGHT, RIGHT: LEFT}
# A block of queries has a matrix of scores with every entity. This many numbers are 256 MiB.
_SCORES = 1 << 26
_MOST_QUERIES = 4096
# How many answers are asked for at once. Queries with many seen partners need more, and share smaller blocks.
_ANSWERS = 1 << 19


class Ranker(Protocol):
    """A loaded model: `kindred.saved_model.SavedModel` or `serving.local_model.LocalModel`."""

    def ids(self, side: str) -> pa.Array:
        """Returns the ids that the model knows on a side, binary."""

    def rank(self, signature: str, ids: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Returns ids of answers and their scores, `[n, at most k]`."""


@dataclasses.dataclass(frozen=True)
class Ranking:
    """Lists for many queries.

    Attributes:
      side: the side of the answers.
      queried: the side of the queries.
      k: the length of each list. Shorter where fewer entities are left.
      blocks: yields numbers of queries and tables of their lists with the columns of `schema`, for the queries from
        one number to another.
      count: the number of queries that the model knows, which get a list.
      schema: the columns: the query, the rank from 1, the answer and its score.
    """

    side: str
    queried: str
    k: int
    blocks: Callable[[int, int], Iterator[tuple[int, pa.Table]]]
    count: int
    schema: pa.Schema


def rank(
    model: Ranker,
    side: str,
    k: int,
    queries: pa.Array | None = None,
    seen: Callable[[pa.Array, pa.Array], SeenPairs] | None = None,
    same_side: bool = False,
) -> Ranking:
    """Ranks the entities of `side` for many queries, as `similar` or `neighbors` ranks them for one.

    Args:
      model: the model.
      side: the side of the answers, `left` or `right`.
      k: the number of answers for each query.
      queries: the ids of the queries, binary. None: all that the model knows. Unknown ones get no list.
      seen: returns the pairs to leave out, from the known ids of the queries' side and of the answers' side.
      same_side: whether the queries are of `side` too, and are ranked by cosine.
    """
    queried = side if same_side else OTHER[side]
    known, answers = model.ids(queried), model.ids(side)
    k = min(k, len(answers))
    rows = np.arange(len(known)) if queries is None else rows_of(queries, known)
    rows = rows[rows >= 0]
    signature = f"neighbors_{side}" if same_side else f"similar_{side}"
    left_out = seen(known, answers) if seen else None
    kind = pa.string() if is_text(known) and is_text(answers) else pa.binary()
    names = ("query_id", "neighbor_id") if same_side else (f"{queried}_id", f"{side}_id")
    schema = pa.schema([(names[0], kind), ("rank", pa.int32()), (names[1], kind), ("score", pa.float32())])

    def blocks(first: int, end: int) -> Iterator[tuple[int, pa.Table]]:
        size = block_size(len(answers))
        for start in range(first, end, size):
            block = rows[start : min(start + size, end)]
            found, scores = np.full((len(block), k), -1), np.zeros((len(block), k), np.float32)
            for part in _parts(block, left_out, k, len(answers)):
                some, of_them = _best(model, signature, known.take(block[part]), answers, k, left_out, block[part])
                found[part, : some.shape[1]], scores[part, : some.shape[1]] = some, of_them
            yield len(block), _table(schema, known.take(block), answers, found, scores)

    return Ranking(side, queried, k, blocks, len(rows), schema)


def block_size(answers: int) -> int:
    """Returns the number of queries whose scores with every one of `answers` entities fit in memory."""
    return int(np.clip(_SCORES // max(answers, 1), 1, _MOST_QUERIES))


def _parts(block: np.ndarray, seen: SeenPairs | None, k: int, count: int) -> Iterator[np.ndarray]:
    """Yields parts of a block, so that a few queries with many seen partners do not lengthen the lists of others."""
    if seen is None:
        yield np.arange(len(block))
        return
    counts = seen.counts(block)
    order = np.argsort(-counts, kind="stable")
    start = 0
    while start < len(order):
        longest = min(k + int(counts[order[start]]), count)
        size = max(1, _ANSWERS // max(longest, 1))
        yield order[start : start + size]
        start += size


def _best(
    model: Ranker,
    signature: str,
    queries: pa.Array,
    answers: pa.Array,
    k: int,
    seen: SeenPairs | None,
    rows: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the rows of the best answers and their scores, `[n, at most k]`. Row -1 is the end of a shorter list."""
    more = 0 if seen is None else int(seen.counts(rows).max(initial=0))
    ids, scores = model.rank(signature, queries.to_numpy(zero_copy_only=False), k + more)
    found = rows_of(pa.array(ids.ravel(), pa.binary()), answers).reshape(ids.shape)
    if seen is None:
        return found, scores
    hidden = seen.mask(rows, found)
    # A stable sort keeps the order of the answers that stay.
    order = np.argsort(hidden, axis=1, kind="stable")[:, :k]
    found = np.where(np.take_along_axis(hidden, order, 1), -1, np.take_along_axis(found, order, 1))
    return found, np.take_along_axis(scores, order, 1)


def _table(schema: pa.Schema, queries: pa.Array, answers: pa.Array, found: np.ndarray, scores: np.ndarray) -> pa.Table:
    """Returns a row for each answer of each query."""
    query, place = np.nonzero(found >= 0)
    columns = [
        queries.take(pa.array(query)).cast(schema.types[0]),
        pa.array(place + 1, pa.int32()),
        answers.take(pa.array(found[query, place])).cast(schema.types[2]),
        pa.array(scores[query, place], pa.float32()),
    ]
    return pa.Table.from_arrays(columns, schema=schema)


def is_text(ids: pa.Array) -> bool:
    """Returns whether all ids are UTF-8."""
    try:
        ids.cast(pa.string())
    except pa.ArrowInvalid:
        return False
    return True
