"""The best scores of a ranking, as `tf.math.top_k` finds them, in less time."""

from __future__ import annotations

import math

import tensorflow as tf

# The number of answers for which runs have the best length. More answers are right, too.
_ANSWERS = 10
# For fewer candidates, the additional operations take as long as they save.
_FEW = 4096


def best(scores: tf.Tensor, k: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the columns and the values of the `k` largest scores of each row. For equal scores, the lower column.

    Each row is cut into runs of columns. The best `k` columns are in the `k` runs with the largest maxima. For equal
    maxima, these are the lower runs: each of the `k` has a column that comes before all columns of another run. The
    maxima need one fast pass, and selecting among the columns of `k` runs takes a small part of the time of selecting
    among all.

    Args:
      scores: float32 `[n, columns]`. The number of columns is static.
      k: int32 `[]`, between 0 and the number of columns.

    Returns:
      Columns, int32, and values, float32, each `[n, k]`, best first.
    """
    columns = scores.shape[1]
    if columns < _FEW:
        found = tf.math.top_k(scores, k)
        return found.indices, found.values
    length = run_length(columns)
    runs = -(-columns // length)
    if runs * length > columns:  # infinity comes last, because its columns are the highest
        scores = tf.pad(scores, [[0, 0], [0, runs * length - columns]], constant_values=-math.inf)
    of_runs = tf.reshape(scores, [-1, runs, length])
    most = tf.minimum(k, runs)
    chosen = tf.math.top_k(tf.reduce_max(of_runs, axis=2), most, sorted=False).indices
    ascending = -tf.math.top_k(-chosen, most).values
    among = tf.reshape(tf.gather(of_runs, ascending, batch_dims=1), [tf.shape(scores)[0], most * length])
    found = tf.math.top_k(among, k)
    run = tf.gather(ascending, found.indices // length, batch_dims=1)
    return run * length + found.indices % length, found.values


def run_length(columns: int) -> int:
    """Returns the length of runs for which the fewest numbers are compared. It divides `columns` if possible.

    Selection looks at the maxima of `columns / length` runs and at `k * length` columns.
    """
    ideal = round(math.sqrt(columns / _ANSWERS))
    around = sorted(range(max(ideal * 2 // 3, 1), ideal * 2), key=lambda length: abs(length - ideal))
    return next((length for length in around if columns % length == 0), ideal)
