"""Which entities can be answers of a ranking, as stock TensorFlow ops."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

from trainer.export.shared_functions import shared_function
from trainer.export.sides import SideVariables, first_of

# Where a row has fewer answers than the others: an id that no entity has, and the smallest score. It is finite, because
# JSON has no infinity.
NO_ID, NO_SCORE = b"", tf.float32.min


class Filter(NamedTuple):
    """The candidates of a ranking.

    Attributes:
      allowed: which known entities can be answers, bool `[n, count]`, or `[1, count]` for all rows.
      limit: the maximum number of answers, int32 `[]`.
      per_row: whether each row has its own exclusions, bool `[]`. Then rows can have fewer answers than `limit`.
    """

    allowed: tf.Tensor
    limit: tf.Tensor
    per_row: tf.Tensor


def filter_of(
    side: SideVariables,
    rows_of: Callable[[tf.Tensor], tf.Tensor],
    exclude: tf.Tensor,
    candidates: tf.Tensor,
    queries: tf.Tensor,
) -> Filter:
    """Returns the candidates that a request allows.

    Args:
      side: the side of the answers.
      rows_of: returns the table rows `[m, hashes]` of ids `[m]` of this side.
      exclude: string `[e]`, ids to leave out for all rows, or `[n, e]`, for each row. Unknown ids have no effect, so
        the empty string pads shorter lists.
      candidates: string `[c]`. If not empty, only these ids can be answers.
      queries: string `[n]`, the ids that are ranked for.
    """
    per_row = tf.equal(tf.rank(exclude), 2)
    lists = _as_lists(exclude, tf.size(queries))
    ranked = tf.logical_or(tf.equal(tf.size(candidates), 0), _members(side, rows_of, tf.expand_dims(candidates, 0))[0])
    allowed = tf.logical_and(ranked, tf.logical_not(_members(side, rows_of, lists)))
    # Without lists per row, all rows have the same number of answers. With them, the number of answers must not depend
    # on the lists: a server computes the rows of a large request in pieces.
    remaining = tf.where(per_row, ranked[None], allowed[:1])
    return Filter(allowed, tf.math.count_nonzero(remaining, dtype=tf.int32), per_row)


def _as_lists(exclude: tf.Tensor, queries: tf.Tensor) -> tf.Tensor:
    """Returns lists of ids `[n, e]` or, for all rows, `[1, e]`."""
    shape = tf.shape(exclude)
    fits = tf.reduce_all(tf.equal(shape[:-1], queries)) & (tf.size(shape) >= 1) & (tf.size(shape) <= 2)
    rule = "exclude must be one list of ids, or one list of the same length for each id that is ranked for. Shape:"
    with tf.control_dependencies([check(fits, [rule, shape, "ids:", queries])]):
        return tf.reshape(exclude, tf.concat([tf.ones([2 - tf.size(shape)], tf.int32), shape], axis=0))


def check(condition: tf.Tensor, message: list[object]) -> tf.Operation:
    """Returns an operation that refuses a request with INVALID_ARGUMENT, on every server.

    The plain operation, because `tf.debugging.Assert` adds a conditional, which costs more than a small request.

    Args:
      condition: bool `[]`.
      message: texts and tensors.
    """
    return tf.raw_ops.Assert(condition=condition, data=[tf.convert_to_tensor(part) for part in message], summarize=3)


def _members(side: SideVariables, rows_of: Callable[[tf.Tensor], tf.Tensor], lists: tf.Tensor) -> tf.Tensor:
    """Returns which known entities are in each list of ids `[m, e]`, bool `[m, count]`."""
    rows = first_of(rows_of(tf.reshape(lists, [-1])))
    return marked(tf.reshape(rows, tf.shape(lists)), tf.constant(side.count, tf.int64))


def _marked(rows: tf.Tensor, count: tf.Tensor) -> tf.Tensor:
    """Returns which of `count` entities are in each list of rows `[m, e]`, bool `[m, count]`. Ignores other rows."""
    size = tf.shape(rows, tf.int64)
    # All other rows share one more column, which is cut off.
    places = tf.stack([tf.broadcast_to(tf.expand_dims(tf.range(size[0]), 1), size), tf.minimum(rows, count)], axis=2)
    nowhere = tf.fill(tf.stack([size[0], count + 1]), False)
    return tf.tensor_scatter_nd_update(nowhere, places, tf.fill(size, True))[:, :-1]


marked = shared_function(_marked, tf.TensorSpec([None, None], tf.int64), tf.TensorSpec([], tf.int64))


def padded(ids: tf.Tensor, scores: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Replaces excluded answers, whose score is -infinity, by `NO_ID` and `NO_SCORE`. Shapes are `[n, k]`."""
    missing = scores < NO_SCORE
    return tf.where(missing, NO_ID, ids), tf.where(missing, NO_SCORE, scores)
