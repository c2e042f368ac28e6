"""Loads examples as columns that the transform graph has encoded."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import tensorflow as tf

from trainer import features
from trainer.data.pairs import NoRows, Pairs, ShardedPairs, collect

_PARSE_BATCH = 65_536

Encoder = Callable[[dict[str, tf.Tensor]], dict[str, tf.Tensor]]


def load(
    file_patterns: list[str], encode: Encoder, memory: int, directory: str, scored: bool = True
) -> Pairs | ShardedPairs:
    """Reads a split of raw tf.Examples and encodes it in large batches, each row once.

    This is faster than reading transformed examples, because encoding is two look-ups per row in C++. Rows keep the
    order of the sorted files, so the same files always return the same columns.

    Args:
      file_patterns: globs of TFRecord files. Files ending in .gz are decompressed.
      encode: the layer of the transform graph. It maps `left_id` and `right_id` string `[n, 1]` and `score` float `[n,
        1]` to `left` and `right` int64 `[n, hashes]` and `label` float `[n, 1]`.
      memory: the maximum size of columns in memory, in bytes. Larger splits are stored in `directory`.
      directory: a local directory that must exist as long as the result is used.
      scored: whether the examples have a `score`.

    Raises:
      ValueError: no file matches, or the files have no rows.
    """
    files = sorted(path for pattern in file_patterns for path in tf.io.gfile.glob(pattern))
    if not files:
        raise ValueError(f"no examples match {file_patterns}")
    try:
        return collect(_encoded(files, encode, scored), memory, directory)
    except NoRows:
        raise ValueError(f"the examples {file_patterns} have no rows") from None


def _encoded(files: list[str], encode: Encoder, scored: bool) -> Iterator[Pairs]:
    for raw in (raw for file in files for raw in _parsed(file, scored)):
        weight = raw.pop(features.WEIGHT)
        encoded = encode(raw)
        yield Pairs(
            left=_column(encoded[features.LEFT]).astype(np.int32),
            right=_column(encoded[features.RIGHT]).astype(np.int32),
            label=_column(encoded[features.LABEL]),
            weight=_column(weight),
        )


def _parsed(file: str, scored: bool) -> tf.data.Dataset:
    """Returns batches of raw features by name, each `[n, 1]`."""
    spec = {
        features.LEFT_ID: tf.io.FixedLenFeature([1], tf.string),
        features.RIGHT_ID: tf.io.FixedLenFeature([1], tf.string),
        features.WEIGHT: tf.io.FixedLenFeature([1], tf.float32, default_value=[1.0]),
    }
    if scored:
        spec[features.SCORE] = tf.io.FixedLenFeature([1], tf.float32)
    records = tf.data.TFRecordDataset(file, "GZIP" if file.endswith(".gz") else "", buffer_size=8 << 20)
    return records.batch(_PARSE_BATCH).map(lambda examples: tf.io.parse_example(examples, spec)).prefetch(2)


def _column(values: tf.Tensor) -> np.ndarray:
    return np.asarray(values.numpy()[:, 0])
