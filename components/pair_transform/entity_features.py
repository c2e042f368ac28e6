"""Analyzes the features of the entities of a side, and writes a transform graph of their own."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import tensorflow_transform as tft
import tensorflow_transform.beam as tft_beam
from tfx.utils import io_utils
from tfx_bsl.tfxio import tf_example_record

from trainer.data.examples import Examples
from trainer.entity_features import preprocessing
from trainer.entity_features.encoder import graph_folder
from trainer.entity_features.settings import FeatureColumns
from trainer.entity_features.table import ID, read_table

_ROWS = 1 << 16


def analyze(
    examples: str, side: str, columns: FeatureColumns, output: str, make_pipeline: Callable[[], beam.Pipeline]
) -> None:
    """Writes the transform graph of the features of a side.

    Vocabularies and statistics are those of the entities of the train split. The others must not be known before the
    evaluation.

    Args:
      examples: URI of the `Examples`.
      side: left or right.
      columns: what each feature holds.
      output: directory of the `TransformGraph`.
      make_pipeline: returns a pipeline of the engine.
    """
    schema = preprocessing.raw_schema(columns)
    rows = tf_example_record.TFExampleRecord("", schema=schema)
    source = _Trained(examples, side, rows.ArrowSchema())
    folder = graph_folder(output, side)
    temporary = os.path.join(folder, ".temp_path")
    with (
        make_pipeline() as pipeline,
        tft_beam.Context(temp_dir=temporary, use_deep_copy_optimization=True),
    ):
        batches = pipeline | "Side" >> beam.Create([None]) | beam.FlatMap(source.read).with_output_types(pa.RecordBatch)
        encode = functools.partial(preprocessing.encode, columns=columns)
        learned = (batches, rows.TensorAdapterConfig()) | "Analyze" >> tft_beam.AnalyzeDataset(encode)
        _ = learned | "WriteGraph" >> tft_beam.WriteTransformFn(folder)
        raw = os.path.join(folder, tft.TFTransformOutput.RAW_METADATA_DIR)
        _ = tft.DatasetMetadata(schema) | "WriteMetadata" >> tft_beam.WriteMetadata(raw, pipeline)
    io_utils.delete_dir(temporary)


class _Trained:
    """The features of the entities of the train split, in batches for TensorFlow Transform."""

    def __init__(self, examples: str, side: str, schema: pa.Schema) -> None:
        self._examples, self._side, self._schema = examples, side, schema

    def read(self, _: None) -> Iterator[pa.RecordBatch]:
        """Yields all rows. Yields one without values if there is none, because some row is needed."""
        entities = Examples(self._examples).entities(self._side)
        table = read_table(self._examples, self._side)
        assert table is not None, f"no features of side {self._side} in {self._examples}"
        table = table.filter(pc.is_in(table[ID], value_set=entities.ids.slice(0, entities.trained)))
        if not table.num_rows:
            yield pa.RecordBatch.from_arrays(
                [pa.nulls(1, field.type).fill_null([]) for field in self._schema], schema=self._schema
            )
        for start in range(0, table.num_rows, _ROWS):
            part = table.slice(start, _ROWS).combine_chunks()
            columns = [_as_lists(part[field.name].combine_chunks()).cast(field.type) for field in self._schema]
            yield pa.RecordBatch.from_arrays(columns, schema=self._schema)


def _as_lists(column: pa.Array) -> pa.Array:
    """Returns lists without the missing values."""
    if pa.types.is_large_list(column.type):
        return column.fill_null([]) if column.null_count else column
    ends = np.cumsum(column.is_valid().to_numpy(zero_copy_only=False))
    return pa.LargeListArray.from_arrays(pa.array(np.concatenate([[0], ends])), column.drop_null())
