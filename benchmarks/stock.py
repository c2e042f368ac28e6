"""The same steps with stock TFX components, connected like in the templates of TFX."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pyarrow as pa
import tensorflow as tf
from tensorflow_metadata.proto.v0 import schema_pb2
from tfx.components.example_gen.csv_example_gen.component import CsvExampleGen
from tfx.components.example_validator.component import ExampleValidator
from tfx.components.schema_gen.import_schema_gen.component import ImportSchemaGen
from tfx.components.statistics_gen.component import StatisticsGen
from tfx.components.transform.component import Transform
from tfx.components.util import tfxio_utils
from tfx.dsl.components.base.base_node import BaseNode
from tfx.types import standard_artifacts
from tfx_bsl.coders.example_coder import RecordBatchToExamplesEncoder
from tfx_bsl.tfxio import dataset_options

from pipeline.config import PipelineConfig
from trainer.data.pairs import Pairs


def prepare_nodes(config: PipelineConfig, data: Path) -> list[BaseNode]:
    """Returns ingestion, statistics, validation and Transform with TFX defaults and the preprocessing of `config`."""
    example_gen = CsvExampleGen(input_base=str(data))
    examples = example_gen.outputs["examples"]
    statistics = StatisticsGen(examples=examples)
    schema = ImportSchemaGen(schema_file=config.schema_path)
    validator = ExampleValidator(statistics=statistics.outputs["statistics"], schema=schema.outputs["schema"])
    custom_config: dict[str, Any] = {"encode": config.encode.model_dump(), "score": config.score.model_dump()}
    transform = Transform(
        examples=examples,
        schema=schema.outputs["schema"],
        preprocessing_fn="trainer.preprocessing.preprocessing_fn",
        custom_config=custom_config,
    )
    return [example_gen, statistics, schema, validator, transform]


def write_transformed(chunks: Iterator[Pairs], folder: Path) -> None:
    """Writes pairs in the format of Transform: gzipped TFRecords of tf.Examples, in the split `train`."""
    write_examples(map(_record_batch, chunks), folder / "Split-train")


def write_examples(batches: Iterable[pa.RecordBatch], split: Path) -> None:
    """Writes batches of lists in the default format of TFX: gzipped TFRecords of tf.Examples, a file for each batch."""
    split.mkdir()
    for number, batch in enumerate(batches):
        path = split / f"examples-{number:05d}.gz"
        with tf.io.TFRecordWriter(str(path), tf.io.TFRecordOptions(compression_type="GZIP")) as out:
            for example in RecordBatchToExamplesEncoder().encode(batch):
                out.write(example)


def _record_batch(pairs: Pairs) -> pa.RecordBatch:
    offsets = pa.array(np.arange(len(pairs) + 1, dtype=np.int32))
    columns = {"left": pairs.left.astype(np.int64), "right": pairs.right.astype(np.int64), "label": pairs.label}
    lists = [pa.ListArray.from_arrays(offsets, pa.array(column)) for column in columns.values()]
    return pa.RecordBatch.from_arrays(lists, list(columns))


def fit_epochs(folder: Path, rows: int, dimension: int, batch_size: int, steps: int, epochs: int) -> list[float]:
    """Returns the seconds of each epoch of `keras.Model.fit` over the data accessor of TFX, as in its templates."""
    examples = standard_artifacts.Examples()
    examples.uri = str(folder)
    examples.split_names = '["train"]'
    factory = tfxio_utils.get_tf_dataset_factory_from_artifact([examples], ["benchmark"])
    options = dataset_options.TensorFlowDatasetOptions(batch_size=batch_size, label_key="label")
    dataset = factory([str(folder / "Split-train" / "*")], options, _transformed_schema()).repeat()
    model = _keras_model(rows, dimension)
    model.compile(optimizer=keras.optimizers.Adagrad(0.1), loss="mse")
    seconds = []
    for _ in range(epochs):
        since = time.monotonic()
        model.fit(dataset, steps_per_epoch=steps, epochs=1, verbose=0)
        seconds.append(time.monotonic() - since)
    return seconds


def _transformed_schema() -> schema_pb2.Schema:
    kinds = {"left": schema_pb2.INT, "right": schema_pb2.INT, "label": schema_pb2.FLOAT}
    schema = schema_pb2.Schema()
    for name, kind in kinds.items():
        feature = schema.feature.add(name=name, type=kind)
        feature.presence.min_fraction = 1
        feature.shape.dim.add(size=1)
    return schema


def _keras_model(rows: int, dimension: int) -> keras.Model:
    """Returns two Keras embedding layers and their dot product."""
    sides = {name: keras.Input((1,), name=name, dtype="int64") for name in ("left", "right")}
    vectors = [keras.layers.Flatten()(keras.layers.Embedding(rows, dimension)(side)) for side in sides.values()]
    return keras.Model(sides, keras.layers.Dot(axes=1)(vectors))
