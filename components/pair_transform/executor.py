"""What the Transform node runs: TensorFlow Transform's analysis of scores, and of ids that ingestion counted."""

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
from tfx import types
from tfx.components.util import udf_utils
from tfx.dsl.components.base import base_beam_executor
from tfx.types import artifact_utils, standard_component_specs
from tfx.utils import io_utils, json_utils
from tfx_bsl.tfxio import tf_example_record

from components.pair_transform import vocabulary
from trainer import features
from trainer.data.examples import TRAIN, Examples

PreprocessingFn = Callable[[dict[str, tf.Tensor]], dict[str, tf.Tensor]]


class Executor(base_beam_executor.BaseBeamExecutor):
    """Analyzes the train split and writes the transform graph."""

    def Do(  # noqa: N802 - TFX's name
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Writes what TFX's executor writes: the graph, its vocabularies, and the metadata of raw and transformed data.

        Args:
          input_dict: `examples`, of which the split `train` is analyzed, and `schema`.
          output_dict: `transform_graph`.
          exec_properties: `preprocessing_fn`, the path of a function, and `custom_config`, JSON that it is called with.
        """
        self._log_startup(input_dict, output_dict, exec_properties)
        examples = artifact_utils.get_single_uri(input_dict[standard_component_specs.EXAMPLES_KEY])
        schema = artifact_utils.get_single_uri(input_dict[standard_component_specs.SCHEMA_KEY])
        function = udf_utils.get_fn(exec_properties, standard_component_specs.PREPROCESSING_FN_KEY)
        config = json_utils.loads(exec_properties[standard_component_specs.CUSTOM_CONFIG_KEY])
        self.analyze(
            examples,
            io_utils.SchemaReader().read(io_utils.get_only_uri_in_dir(schema)),
            functools.partial(function, custom_config=config),
            artifact_utils.get_single_uri(output_dict[standard_component_specs.TRANSFORM_GRAPH_KEY]),
        )

    def analyze(self, examples: str, schema: schema_pb2.Schema, function: PreprocessingFn, output: str) -> None:
        """Writes to the directory `output` what `function` learns from the train split of the artifact `examples`."""
        vocabulary.take_from(examples)
        rows = tf_example_record.TFExampleRecord("", schema=schema)
        columns = tft.get_analyze_input_columns(function, rows.TensorAdapter().OriginalTypeSpecs())
        analyzed = rows.Project(columns)
        source = _Numbers(examples, analyzed.ArrowSchema())
        metadata, temporary = tft.DatasetMetadata(schema), os.path.join(output, ".temp_path")
        with (
            self._make_beam_pipeline() as pipeline,
            tft_beam.Context(temp_dir=temporary, use_deep_copy_optimization=True),
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


class _Numbers:
    """The numbers of the train split, in batches for TensorFlow Transform. Their ids are left blank.

    The tables of ids give the vocabularies, and nothing else in the transform graph is learned from ids.
    """

    def __init__(self, examples: str, schema: pa.Schema) -> None:
        self._examples = examples
        self._schema = schema

    def read(self, _: None) -> Iterator[pa.RecordBatch]:
        """Yields all scores. Yields a single row if nothing is learned from scores, because some row is needed."""
        if features.SCORE not in self._schema.names:
            yield self._batch(1, None)
            return
        for rows in Examples(self._examples).blocks(TRAIN):
            yield self._batch(len(rows), rows.score)

    def _batch(self, count: int, scores: np.ndarray | None) -> pa.RecordBatch:
        offsets = pa.array(np.arange(count + 1))
        columns = []
        for field in self._schema:
            blank = pa.array([b""], pa.binary()).take(pa.array(np.zeros(count, np.int64)))
            values = pa.array(scores) if field.name == features.SCORE else blank
            columns.append(pa.LargeListArray.from_arrays(offsets, values.cast(field.type.value_type)))
        return pa.RecordBatch.from_arrays(columns, schema=self._schema)
