"""Transform on a few rows in memory, with the Beam implementation of tensorflow_transform."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path

import apache_beam as beam
import numpy as np
import tensorflow as tf
import tensorflow_transform.beam as tft_beam
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from tensorflow_transform.tf_metadata import dataset_metadata, schema_utils

from trainer import features
from trainer.data.transform_graph import TransformGraph
from trainer.preprocessing import preprocessing_fn

# Ids, and a score unless every row is a positive.
Row = tuple[bytes, bytes, float] | tuple[bytes, bytes]

_SPEC = {
    features.LEFT_ID: tf.io.FixedLenFeature([1], tf.string),
    features.RIGHT_ID: tf.io.FixedLenFeature([1], tf.string),
    features.SCORE: tf.io.FixedLenFeature([1], tf.float32),
}


def analyze(
    rows: Sequence[Row],
    folder: Path,
    function=preprocessing_fn,
    optional: Sequence[str] = (),
    compat_v1: bool = False,
    **config,
) -> TransformGraph:
    """Returns the transform graph of `rows` with `config` (`encode` and `score`). No row has an `optional` feature."""
    output = folder / "transform"
    spec = dict(list(_SPEC.items())[: len(rows[0])])
    absent: dict[str, list[float]] = {name: [] for name in optional}
    instances = [{name: [value] for name, value in zip(spec, row, strict=True)} | absent for row in rows]
    spec |= {name: tf.io.VarLenFeature(tf.float32) for name in optional}
    metadata = dataset_metadata.DatasetMetadata(schema_utils.schema_from_feature_spec(spec))
    context = tft_beam.Context(temp_dir=str(folder / "temp"), force_tf_compat_v1=compat_v1)
    with context, beam.Pipeline(runner=FnApiRunner()) as pipeline:
        data = pipeline | beam.Create(instances, reshuffle=False)
        learned = (data, metadata) | tft_beam.AnalyzeDataset(functools.partial(function, custom_config=config))
        _ = learned | tft_beam.WriteTransformFn(str(output))
        _ = metadata | tft_beam.WriteMetadata(str(output / "metadata"), pipeline)
    return TransformGraph(str(output))


def transform(learned: TransformGraph, rows: Sequence[Row]) -> dict[str, np.ndarray]:
    """Returns the transformed features of `rows`, each a column `[n]`."""
    columns = zip(_SPEC.items(), zip(*rows, strict=True), strict=False)
    inputs = {name: tf.constant(values, feature.dtype)[:, None] for (name, feature), values in columns}
    return {name: column.numpy()[:, 0] for name, column in learned.transform_features_layer()(inputs).items()}
