"""The executor of PairTransform: the analysis of TensorFlow Transform, with a reader of whole batches."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator

import apache_beam as beam
import pyarrow as pa
import tensorflow as tf
import tensorflow_transform as tft
import tensorflow_transform.beam as tft_beam
from tensorflow_metadata.proto.v0 import schema_pb2
from tfx.components.util import udf_utils
from tfx.dsl.components.base import base_beam_executor
from tfx.types import artifact_utils, standard_component_specs
from tfx.utils import io_utils, json_utils
from tfx_bsl.coders.example_coder import ExamplesToRecordBatchDecoder
from tfx_bsl.tfxio import tensor_representation_util, tf_example_record, tfxio

from components.example_reader import serialized_batches
from components.execution import ExecutionArguments, ExecutorBase
from components.pair_transform import vocabulary

_IN_PROCESS = {"--runner=DirectRunner", "--direct_running_mode=in_memory"}

PreprocessingFn = Callable[[dict[str, tf.Tensor]], dict[str, tf.Tensor]]


class Executor(ExecutorBase, base_beam_executor.BaseBeamExecutor):
    """Analyzes the train split and writes the transform graph."""

    def execute(self, execution: ExecutionArguments) -> None:
        """Writes the graph, its vocabularies, and the metadata of raw and transformed data, as TFX's executor does."""
        examples = artifact_utils.get_split_uris(execution.inputs[standard_component_specs.EXAMPLES_KEY], "train")
        schema = execution.input(standard_component_specs.SCHEMA_KEY).uri
        function = udf_utils.get_fn(execution.parameters, standard_component_specs.PREPROCESSING_FN_KEY)
        config = json_utils.loads(execution.parameters[standard_component_specs.CUSTOM_CONFIG_KEY])
        self.analyze(
            [os.path.join(uri, "*") for uri in examples],
            io_utils.SchemaReader().read(io_utils.get_only_uri_in_dir(schema)),
            functools.partial(function, custom_config=config),
            execution.output(standard_component_specs.TRANSFORM_GRAPH_KEY).uri,
        )

    def analyze(
        self, file_patterns: list[str], schema: schema_pb2.Schema, function: PreprocessingFn, output: str
    ) -> None:
        """Writes the transform graph of examples.

        Args:
          file_patterns: patterns of TFRecord files.
          schema: schema of the raw features.
          function: preprocessing function, from raw to transformed features.
          output: directory of the `TransformGraph`.
        """
        if _IN_PROCESS.issubset(self._beam_pipeline_args or []):
            vocabulary.count_by_arrow()
        examples = BatchedExampleRecord(file_patterns, schema=schema)
        columns = tft.get_analyze_input_columns(function, examples.TensorAdapter().OriginalTypeSpecs())
        analyzed = examples.Project(columns)
        metadata, temporary = tft.DatasetMetadata(schema), os.path.join(output, ".temp_path")
        with (
            self._make_beam_pipeline() as pipeline,
            tft_beam.Context(temp_dir=temporary, use_deep_copy_optimization=True),
        ):
            batches = pipeline | "Examples" >> analyzed.BeamSource()
            learned = (batches, analyzed.TensorAdapterConfig()) | "Analyze" >> tft_beam.AnalyzeDataset(function)
            _ = learned | "WriteGraph" >> tft_beam.WriteTransformFn(output)
            raw = os.path.join(output, tft.TFTransformOutput.RAW_METADATA_DIR)
            _ = metadata | "WriteMetadata" >> tft_beam.WriteMetadata(raw, pipeline)
        io_utils.delete_dir(temporary)


class BatchedExampleRecord(tf_example_record.TFExampleRecord):
    """TFX's reader of tf.Examples with a source that reads and decodes whole batches in C++.

    TFX's own source reads TFRecords one record at a time in Python, passes each to Beam as an element, and collects
    batches of a thousand. An analyzer emits one element for each distinct id of a batch, so larger batches are also
    cheaper to analyze.
    """

    def BeamSource(self, batch_size: int | None = None) -> beam.PTransform:  # noqa: N802 - TFX's name
        """Returns a PTransform from the pipeline to RecordBatches of `ArrowSchema`. `batch_size` has no effect."""
        del batch_size
        return _Source(self._file_pattern, self._schema.SerializeToString())

    def _ProjectImpl(self, tensor_names: list[str]) -> tfxio.TFXIO:  # noqa: N802 - TFX's name
        schema = tensor_representation_util.ProjectTensorRepresentationsInSchema(self._schema, tensor_names)
        return BatchedExampleRecord(self._file_pattern, schema=schema)


@beam.typehints.with_output_types(pa.RecordBatch)
class _Source(beam.PTransform):
    """Reads all files that match the patterns into RecordBatches of a schema."""

    def __init__(self, file_patterns: list[str], schema: bytes) -> None:
        super().__init__()
        self._file_patterns = file_patterns
        self._schema = schema

    def expand(self, pipeline: beam.Pipeline) -> beam.PCollection:
        files = sorted(file for pattern in self._file_patterns for file in tf.io.gfile.glob(pattern))
        return (
            pipeline
            | "Files" >> beam.Create(files, reshuffle=True)
            | "Read" >> beam.FlatMap(_read, self._schema).with_output_types(pa.RecordBatch)
        )


def _read(file: str, schema: bytes) -> Iterator[pa.RecordBatch]:
    decoder = ExamplesToRecordBatchDecoder(schema)
    for batch in serialized_batches(file):
        yield decoder.DecodeBatch(batch)
