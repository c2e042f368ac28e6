"""Preprocessing of features in Transform: values become numbers. Serving uses the same graph."""

from __future__ import annotations

import tensorflow as tf
import tensorflow_transform as tft
from tensorflow_metadata.proto.v0 import schema_pb2

from trainer.entity_features.settings import FeatureColumn, FeatureColumns

# Everything between the words of a text. It keeps letters and digits of all scripts.
_BETWEEN_WORDS = r"[^\pL\pN]+"


def raw_schema(columns: FeatureColumns) -> schema_pb2.Schema:
    """Returns the schema of raw features. A value may be missing, so each feature is sparse."""
    kinds = {
        name: schema_pb2.FLOAT if column.kind == "number" else schema_pb2.BYTES for name, column in columns.items()
    }
    return schema_pb2.Schema(feature=[schema_pb2.Feature(name=name, type=kind) for name, kind in kinds.items()])


def encode(inputs: dict[str, tf.SparseTensor], columns: FeatureColumns) -> dict[str, tf.SparseTensor]:
    """Encodes the features of entities.

    Args:
      inputs: raw features, string or float `[n, ...]`, without a value where it is missing.
      columns: what each feature holds.

    Returns:
      Features of the same names. A number is float, in standard deviations from the mean of the entities. Everything
        else is int64: the place in the vocabulary, -1 for an unknown value, or the bucket of a number.
    """
    return {name: _encoded(name, column, inputs[name]) for name, column in columns.items()}


def _encoded(name: str, column: FeatureColumn, values: tf.SparseTensor) -> tf.SparseTensor:
    if column.kind == "number":
        return tft.bucketize(values, column.buckets) if column.buckets else tft.scale_to_z_score(values)
    words = _words(values) if column.kind == "text" else values
    vocabulary = tft.vocabulary(
        words,
        top_k=column.max_vocabulary,
        frequency_threshold=column.min_count if column.min_count > 1 else None,
        vocab_filename=name,
        name=name,
    )
    return tft.apply_vocabulary(words, vocabulary, default_value=-1)


def _words(texts: tf.SparseTensor) -> tf.SparseTensor:
    """Returns the words of texts `[n, 1]` in lower case, `[n, most words]`."""
    plain = tf.strings.regex_replace(tf.strings.lower(texts.values, encoding="utf-8"), _BETWEEN_WORDS, " ")
    words = tf.strings.split(tf.strings.strip(plain)).to_sparse()
    rows = tf.gather(texts.indices[:, 0], words.indices[:, 0])
    shape = tf.stack([texts.dense_shape[0], words.dense_shape[1]])
    return tf.SparseTensor(tf.stack([rows, words.indices[:, 1]], axis=1), words.values, shape)
