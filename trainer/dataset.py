"""Examples, encoded by the transform graph, as columns in memory; and the batches that training reads from them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from trainer import features

_PARSE_BATCH = 65_536

Encoder = Callable[[dict[str, tf.Tensor]], dict[str, tf.Tensor]]


@dataclasses.dataclass(frozen=True)
class Pairs:
    """Columns of one split; row i of each belongs to pair i."""

    left: np.ndarray  # int32 [n]
    right: np.ndarray  # int32 [n]
    label: np.ndarray  # float32 [n]
    weight: np.ndarray | None = None  # float32 [n]; None: every row counts the same

    def __len__(self) -> int:
        return len(self.label)

    def take(self, rows: np.ndarray) -> Pairs:
        """The given rows, in the given order."""
        weight = None if self.weight is None else self.weight[rows]
        return Pairs(self.left[rows], self.right[rows], self.label[rows], weight)


def load(file_patterns: list[str], encode: Encoder, scored: bool = True) -> Pairs:
    """Reads a split of raw tf.Examples and encodes them, tens of thousands at a time.

    That costs less than reading what Transform would have written: encoding is two look-ups a row, in C++. Rows keep
    the order of the sorted files, so that the same files always give the same columns.

    Args:
      file_patterns: globs of TFRecord files, gzipped where their name ends in .gz.
      encode: `left_id`, `right_id` string and `score` float `[n, 1]` -> `left`, `right` int64, `label` float `[n, 1]`;
        the transform graph's layer.
      scored: whether the examples have a `score`.

    Raises:
      ValueError: no file matches, or the files hold no row.
    """
    files = sorted(path for pattern in file_patterns for path in tf.io.gfile.glob(pattern))
    if not files:
        raise ValueError(f"no examples match {file_patterns}")
    batches = []
    for raw in (raw for file in files for raw in _parsed(file, scored)):
        weight = raw.pop(features.WEIGHT)
        batches.append(encode(raw) | {features.WEIGHT: weight})
    if not batches:
        raise ValueError(f"the examples {file_patterns} hold no row")
    weights = _column(batches, features.WEIGHT)
    return Pairs(
        left=_column(batches, features.LEFT).astype(np.int32),
        right=_column(batches, features.RIGHT).astype(np.int32),
        label=_column(batches, features.LABEL),
        weight=None if (weights == 1).all() else weights,
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


def _column(batches: list[dict[str, tf.Tensor]], name: str) -> np.ndarray:
    return np.concatenate([batch[name].numpy()[:, 0] for batch in batches])


def hold_out(pairs: Pairs, fraction: float, seed: int) -> tuple[Pairs, Pairs]:
    """Splits off `fraction` of the rows, at least one on either side, drawn by `seed`: (kept, held out)."""
    order = np.random.default_rng(seed).permutation(len(pairs))
    held = min(max(round(len(pairs) * fraction), 1), len(pairs) - 1)
    return pairs.take(np.sort(order[held:])), pairs.take(np.sort(order[:held]))


def batches(pairs: Pairs, batch_size: int, shuffle_seed: int | None = None) -> tf.data.Dataset:
    """Batches `((left [b, 1], right [b, 1]), label [b, 1])`, and `weight [b, 1]` where rows have one.

    The last batch may be smaller.

    With a seed every pass over the dataset has its own order, drawn by one permutation of the row numbers: the columns
    are gathered a batch at a time, which costs a tenth of shuffling them a row at a time.
    """
    held = [pairs.left, pairs.right, pairs.label] + ([] if pairs.weight is None else [pairs.weight])
    columns = [tf.constant(column[:, None]) for column in held]
    count = len(pairs)
    steps = -(-count // batch_size)

    def gather(rows: tf.Tensor) -> tuple[tf.Tensor, ...]:
        left, right, *targets = (tf.gather(column, rows) for column in columns)
        return (left, right), *targets

    def epoch(seed: tf.Tensor) -> tf.data.Dataset:
        rows = tf.range(count)
        if shuffle_seed is not None:
            rows = tf.random.experimental.stateless_shuffle(rows, seed=tf.stack([seed, shuffle_seed]))
        slices = tf.data.Dataset.range(steps)
        return slices.map(lambda step: gather(rows[step * batch_size : (step + 1) * batch_size]))

    draws = tf.data.Dataset.random(seed=shuffle_seed or 0, rerandomize_each_iteration=True).take(1)
    ordered = draws.flat_map(epoch)
    options = tf.data.Options()
    options.deterministic = True
    return ordered.apply(tf.data.experimental.assert_cardinality(steps)).with_options(options).prefetch(2)
