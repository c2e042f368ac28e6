"""Loads examples as columns that the transform graph has encoded."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import tensorflow as tf

from trainer import features
from trainer.data.examples import TRAIN, Entities, Examples, Rows
from trainer.data.pairs import Pairs
from trainer.data.sharded_pairs import NoRows, ShardedPairs, collect

_IDS = 1 << 18

Encoder = Callable[[dict[str, tf.Tensor]], dict[str, tf.Tensor]]


def load(
    examples: Examples, encode: Encoder, memory: int, directory: str, unordered: bool = False
) -> Pairs | ShardedPairs:
    """Encodes the train split. The transform graph encodes each distinct id once, and each score.

    Rows keep the order of the shards, so the same examples always return the same columns.

    Args:
      examples: the examples.
      encode: the layer of the transform graph. It maps `left_id` string `[n, 1]` to `left` int64 `[n, hashes]`, does
        the same for the right side, and maps `score` float `[n, 1]` to `label` float `[n, 1]`.
      memory: the maximum size of columns in memory, in bytes. Larger splits are stored in `directory`.
      directory: a local directory that must exist as long as the result is used.
      unordered: whether both sides share a table, so that (a, b) and (b, a) are the same pair.

    Raises:
      ValueError: the train split has no rows.
    """
    try:
        return collect(_encoded(examples, encode), memory, directory, unordered)
    except NoRows:
        raise ValueError(f"the train split of {examples.uri} has no rows") from None


def score_range(examples: Examples) -> tuple[float, float] | None:
    """Returns the lowest and the highest raw score of the train split, or None if pairs have no score."""
    scores = [rows.score for rows in examples.blocks(TRAIN) if rows.score is not None and len(rows)]
    return (float(min(map(np.min, scores))), float(max(map(np.max, scores)))) if scores else None


def times(examples: Examples) -> np.ndarray | None:
    """Returns the time of each row of the train split in the order of `load` in memory, float64 `[n]`, or None."""
    found = [rows.time for rows in examples.blocks(TRAIN) if rows.time is not None]
    return np.concatenate(found) if found else None


def _encoded(examples: Examples, encode: Encoder) -> Iterator[Pairs]:
    left = _rows_of(examples.left, encode, features.LEFT_ID, features.LEFT)
    right = _rows_of(examples.right, encode, features.RIGHT_ID, features.RIGHT)
    for rows in examples.blocks(TRAIN):
        yield Pairs(left[rows.left], right[rows.right], _labels(rows, encode), rows.weight)


def _rows_of(entities: Entities, encode: Encoder, raw: str, encoded: str) -> np.ndarray:
    """Returns the table row of each id of the train split, int32 `[trained]`."""
    trained = entities.ids.slice(0, entities.trained)
    found = [np.zeros(0, np.int32)]
    for start in range(0, len(trained), _IDS):
        ids = trained.slice(start, _IDS).to_numpy(zero_copy_only=False)
        found.append(_column(encode({raw: tf.constant(ids[:, None], tf.string)})[encoded]).astype(np.int32))
    return np.concatenate(found)


def _labels(rows: Rows, encode: Encoder) -> np.ndarray:
    if rows.score is None:
        return np.ones(len(rows), np.float32)
    return _column(encode({features.SCORE: tf.constant(rows.score[:, None])})[features.LABEL])


def _column(values: tf.Tensor) -> np.ndarray:
    return np.asarray(values.numpy()[:, 0])
