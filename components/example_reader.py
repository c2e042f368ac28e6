"""Reads the examples of PairExampleGen, whole columns at a time."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pyarrow as pa
import tensorflow as tf
from tensorflow_metadata.proto.v0 import schema_pb2
from tfx_bsl.coders.example_coder import ExamplesToRecordBatchDecoder

from trainer import features

_BATCH = 65_536


def split_files(examples_uri: str, split: str) -> list[str]:
    """Returns the sorted TFRecord files of `split`."""
    return sorted(tf.io.gfile.glob(os.path.join(examples_uri, f"Split-{split}", "*")))


def read_batches(file: str) -> Iterator[pa.RecordBatch]:
    """Yields batches of a TFRecord file: `left_id` and `right_id` binary, and `score` float32 if pairs have one."""
    decoder = ExamplesToRecordBatchDecoder(_schema().SerializeToString())
    for batch in serialized_batches(file):
        decoded = decoder.DecodeBatch(batch)
        names = (features.LEFT_ID, features.RIGHT_ID, features.SCORE)
        columns = {name: decoded.column(decoded.schema.get_field_index(name)).flatten() for name in names}
        held = {name: column for name, column in columns.items() if len(column) == decoded.num_rows}
        yield pa.RecordBatch.from_arrays(list(held.values()), list(held))


def serialized_batches(file: str) -> Iterator[list[bytes]]:
    """Yields batches of serialized tf.Examples of a TFRecord file, which is gzipped if its name ends in .gz."""
    records = tf.data.TFRecordDataset(file, "GZIP" if file.endswith(".gz") else "", buffer_size=8 << 20)
    for batch in records.batch(_BATCH).prefetch(1).as_numpy_iterator():
        yield batch.tolist()


def _schema() -> schema_pb2.Schema:
    """Returns the schema of the features to decode. Other features are ignored."""
    kinds = {
        features.LEFT_ID: schema_pb2.BYTES,
        features.RIGHT_ID: schema_pb2.BYTES,
        features.SCORE: schema_pb2.FLOAT,
    }
    return schema_pb2.Schema(feature=[schema_pb2.Feature(name=name, type=kind) for name, kind in kinds.items()])
