"""Preprocessing in Transform: ids become table rows, scores become signed labels. Serving uses the same graph."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
import tensorflow_transform as tft

from trainer import features
from trainer.data import hashing
from trainer.settings import EncodeSettings, ScoreSettings, transform_settings


def preprocessing_fn(inputs: dict[str, tf.Tensor], custom_config: dict[str, Any]) -> dict[str, tf.Tensor]:
    """Encodes ids and centers scores.

    Args:
      inputs: raw features. `left_id` and `right_id` are string `[n, 1]`. `score` is float `[n, 1]`, and is absent if
        every pair is a positive.
      custom_config: sections `encode` and `score` of the pipeline file. See `trainer.settings`. With `weighted`,
        `inputs` has the `weight` of each row, float `[n, 1]`, which counts in the statistics of scores.

    Returns:
      Transformed features. `left` and `right` are int64 `[n, oov_hashes]` in `[0, vocabulary + oov_buckets)`. The row
        of a known id is repeated. `label` is float32 `[n, 1]`, and is 1 for positives.
    """
    encode, score = transform_settings(custom_config)
    left, right = _encode(inputs[features.LEFT_ID], inputs[features.RIGHT_ID], encode)
    if features.SCORE in inputs:
        weight = _dense(inputs[features.WEIGHT]) if custom_config.get("weighted") else None
        label = _label(inputs[features.SCORE], score, weight)
    else:
        label = tf.ones_like(left[:, :1], tf.float32)
    return {features.LEFT: left, features.RIGHT: right, features.LABEL: label}


def _encode(left_id: tf.Tensor, right_id: tf.Tensor, encode: EncodeSettings) -> tuple[tf.Tensor, tf.Tensor]:
    if encode.shared:
        shared = _vocabulary(tf.concat([left_id, right_id], axis=0), features.SHARED_VOCABULARY, encode)
        return _rows(left_id, shared, encode), _rows(right_id, shared, encode)
    left = _vocabulary(left_id, features.LEFT_VOCABULARY, encode)
    right = _vocabulary(right_id, features.RIGHT_VOCABULARY, encode)
    return _rows(left_id, left, encode), _rows(right_id, right, encode)


def _vocabulary(ids: tf.Tensor, name: str, encode: EncodeSettings) -> tf.Tensor:
    """Returns a tensor that represents the vocabulary file of one side, most frequent id first."""
    return tft.vocabulary(
        ids,
        top_k=encode.max_vocabulary,
        frequency_threshold=encode.min_count if encode.min_count > 1 else None,
        vocab_filename=name,
        name=name,
    )


def _rows(ids: tf.Tensor, vocabulary: tf.Tensor, encode: EncodeSettings) -> tf.Tensor:
    rows = tft.apply_vocabulary(ids, vocabulary, num_oov_buckets=encode.oov_buckets)
    if encode.oov_hashes == 1:
        return rows
    known = tft.get_num_buckets_for_transformed_feature(rows) - encode.oov_buckets
    hashed = known + hashing.hash_buckets(ids[:, 0], encode.oov_buckets, encode.oov_hashes)
    return tf.where(rows < known, rows, hashed)


def _label(score: tf.Tensor, settings: ScoreSettings, weight: tf.Tensor | None = None) -> tf.Tensor:
    """Returns (score - center) / scale.

    The statistics are those of the train split. The computation uses float64, which keeps large offsets exact. The
    center is rounded to float32, the precision of scores and of published models, so that the difference of a score and
    the center has the same sign everywhere.
    """
    score = tf.cast(score, tf.float64)
    weight = None if weight is None else tf.cast(weight, tf.float64)
    label = score - tf.cast(tf.cast(_center(score, settings, weight), tf.float32), tf.float64)
    if settings.scale == "std":
        deviation = tf.sqrt(_variance(score, weight))
        label = label / tf.where(deviation > 0, deviation, tf.ones_like(deviation))
    return tf.cast(label, tf.float32)


def _center(score: tf.Tensor, settings: ScoreSettings, weight: tf.Tensor | None) -> tf.Tensor:
    if settings.center == "mean":
        return _mean(score, weight)
    if settings.center == "midpoint":
        return (tft.min(score) + tft.max(score)) / 2
    return tf.zeros([], tf.float64)


def _mean(values: tf.Tensor, weight: tf.Tensor | None) -> tf.Tensor:
    return tft.mean(values) if weight is None else tft.mean(values * weight) / tft.mean(weight)


def _variance(values: tf.Tensor, weight: tf.Tensor | None) -> tf.Tensor:
    return tft.var(values) if weight is None else _mean(tf.square(values - _mean(values, weight)), weight)


def _dense(weight: tf.Tensor | tf.SparseTensor) -> tf.Tensor:
    """Returns weights `[n, 1]`. In the curated schema they are optional, and therefore sparse."""
    return tf.sparse.to_dense(weight) if isinstance(weight, tf.SparseTensor) else weight
