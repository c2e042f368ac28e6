"""The executor of PairTransform: TensorFlow Transform's analysis of scores, and of ids that ingestion counted."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa
import tensorflow as tf
import tensorflow_transform as tft
import tensorflow_transform.beam as tft_beam
from tensorflow_metadata.proto.v0 import schema_pb2
from tfx.components.util import udf_utils
from tfx.dsl.components.base import base_beam_executor
from tfx.types import standard_component_specs
from tfx.utils import io_utils, json_utils
from tfx_bsl.tfxio import tf_example_record

from compat.tensorflow_paths import literal
from components.execution import ExecutionArguments, ExecutorBase
from components.pair_transform import entity_features, vocabulary
from kindred import progress
from trainer import features
from trainer.data.examples import TRAIN, Examples
from trainer.entity_features.settings import columns_of

# Rows of a batch. Beam encodes a share of the batches to estimate their size, but nearly all of few large ones.
_ROWS = 1 << 16

PreprocessingFn = Callable[[dict[str, tf.Tensor]], dict[str, tf.Tensor]]


class Executor(ExecutorBase, base_beam_executor.BaseBeamExecutor):
    """Analyzes the train split and writes the transform graph."""

    def execute(self, execution: ExecutionArguments) -> None:
        """Writes the graph, its vocabularies, and the metadata of raw and transformed data, as TFX's executor does."""
        examples = execution.input(standard_component_specs.EXAMPLES_KEY).uri
        schema = execution.input(standard_component_specs.SCHEMA_KEY).uri
        function = udf_utils.get_fn(execution.parameters, standard_component_specs.PREPROCESSING_FN_KEY)
        config = json_utils.loads(execution.parameters[standard_component_specs.CUSTOM_CONFIG_KEY])
        described = io_utils.SchemaReader().read(io_utils.get_only_uri_in_dir(schema))
        if config.get("weighted"):
            _add_weight(described)
        output = execution.output(standard_component_specs.TRANSFORM_GRAPH_KEY).uri
        columns = [feature.name for feature in described.feature if feature.name in _columns(config)]
        self.analyze(examples, described, columns, functools.partial(function, custom_config=config), output)
        for side, columns in config.get("features", {}).items():
            entity_features.analyze(examples, side, columns_of(columns), output, self._make_beam_pipeline)

    def analyze(
        self, examples: str, schema: schema_pb2.Schema, columns: list[str], function: PreprocessingFn, output: str
    ) -> None:
        """Writes the transform graph of examples.

        Args:
          examples: URI of the `Examples`.
          schema: schema of the raw features.
          columns: the features from which something may be learned.
          function: preprocessing function, from raw to transformed features.
          output: directory of the `TransformGraph`.
        """
        rows = tf_example_record.TFExampleRecord("", schema=schema)
        analyzed = rows.Project(columns)
        source = _Numbers(examples, analyzed.ArrowSchema())
        metadata, temporary = tft.DatasetMetadata(schema), os.path.join(literal(output), ".temp_path")
        with (
            progress.counted("rows", Examples(examples).count(TRAIN)),
            self._make_beam_pipeline() as pipeline,
            tft_beam.Context(temp_dir=temporary, use_deep_copy_optimization=True),
            vocabulary.taken_from(examples),
        ):
            batches = (
                pipeline
                | "Examples" >> beam.Create([None])
                | beam.FlatMap(source.read).with_output_types(pa.RecordBatch)
            )
            learned = (batches, analyzed.TensorAdapterConfig()) | "Analyze" >> tft_beam.AnalyzeDataset(function)
            _ = learned | "WriteGraph" >> tft_beam.WriteTransformFn(output)
            raw = os.path.join(output, tft.TFTransformOutput.RAW_METADATA_DIR)
            _ = metadata | "WriteMetadata" >> tft_beam.WriteMetadata(raw, pipeline)
        io_utils.delete_dir(temporary)


def _columns(config: dict[str, Any]) -> list[str]:
    """Returns the features from which something may be learned.

    TensorFlow Transform would find them by tracing the preprocessing function once more, which takes 0.2 s.
    """
    return [features.LEFT_ID, features.RIGHT_ID, features.SCORE, *([features.WEIGHT] if config.get("weighted") else [])]


def _add_weight(schema: schema_pb2.Schema) -> None:
    """Adds the weight to a schema without it, because the statistics of scores need it."""
    if all(feature.name != features.WEIGHT for feature in schema.feature):
        weight = schema.feature.add(name=features.WEIGHT, type=schema_pb2.FLOAT)
        weight.value_count.min = weight.value_count.max = 1


class _Numbers:
    """The numbers of the train split, in batches for TensorFlow Transform. Their ids are left blank.

    The tables of ids give the vocabularies, and nothing else in the transform graph is learned from ids.
    """

    def __init__(self, examples: str, schema: pa.Schema) -> None:
        self._examples = examples
        self._schema = schema

    def read(self, _: None) -> Iterator[pa.RecordBatch]:
        """Yields all scores. Yields a single row if there are none, because some row is needed."""
        if features.SCORE not in self._schema.names:
            yield self._batch(1, {})
            return
        for rows in Examples(self._examples).blocks(TRAIN):
            for start in range(0, len(rows), _ROWS):
                part = rows.take(slice(start, start + _ROWS))
                weight = np.ones(len(part), np.float32) if part.weight is None else part.weight
                yield self._batch(len(part), {features.SCORE: part.score, features.WEIGHT: weight})
                progress.advance("rows", len(part))

    def _batch(self, count: int, numbers: dict[str, np.ndarray | None]) -> pa.RecordBatch:
        offsets = pa.array(np.arange(count + 1))
        columns = []
        for field in self._schema:
            values = pa.array(numbers[field.name]) if field.name in numbers else _blanks(count)
            columns.append(pa.LargeListArray.from_arrays(offsets, values.cast(field.type.value_type)))
        return pa.RecordBatch.from_arrays(columns, schema=self._schema)


def _blanks(count: int) -> pa.Array:
    """Returns empty ids, binary `[count]`."""
    offsets, no_bytes = pa.py_buffer(bytes(4 * (count + 1))), pa.py_buffer(b"")
    return pa.BinaryArray.from_buffers(pa.binary(), count, [None, offsets, no_bytes])
