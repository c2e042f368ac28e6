"""Examples, encoded by the transform graph, as columns."""

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
    """Reads a split of raw tf.Examples and encodes them, tens of thousands at a time, each once.

    That costs less than reading what Transform would have written: encoding is two look-ups a row, in C++. Rows keep
    the order of the sorted files, so that the same files always give the same columns.

    Args:
      file_patterns: globs of TFRecord files, gzipped where their name ends in .gz.
      encode: `left_id`, `right_id` string and `score` float `[n, 1]` -> `left`, `right` int64, `label` float `[n, 1]`;
        the transform graph's layer.
      memory: bytes of columns that may be held in memory; more than that are kept in `directory`.
      directory: a local directory that lasts as long as the result is used.
      scored: whether the examples have a `score`.

    Raises:
      ValueError: no file matches, or the files hold no row.
    """
    files = sorted(path for pattern in file_patterns for path in tf.io.gfile.glob(pattern))
    if not files:
        raise ValueError(f"no examples match {file_patterns}")
    try:
        return collect(_encoded(files, encode, scored), memory, directory)
    except NoRows:
        raise ValueError(f"the examples {file_patterns} hold no row") from None


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
    """Batches of raw features by name, `[n, 1]` each."""
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
