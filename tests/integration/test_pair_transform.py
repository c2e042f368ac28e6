"""Our reader hands Transform the very columns that TFX's own would, and Transform uses ours."""

from __future__ import annotations

from pathlib import Path

import apache_beam as beam
import pyarrow as pa
import pytest
import tensorflow as tf
from apache_beam.testing.util import assert_that
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2
from tfx.components.transform import executor as tfx_executor
from tfx_bsl.tfxio.tf_example_record import TFExampleRecord

from components.pair_transform.executor import BatchedExampleRecord, Executor, Processor

pytestmark = pytest.mark.tensorflow

SCHEMA = text_format.Parse((Path(__file__).parents[2] / "schemas" / "pairs.pbtxt").read_text(), schema_pb2.Schema())


@pytest.fixture
def pattern(tmp_path: Path) -> str:
    """Two gzipped files and one that is not; one row has a weight."""
    for name, rows in (("a.gz", range(5)), ("b.gz", range(5, 6)), ("c", range(6, 9))):
        with tf.io.TFRecordWriter(str(tmp_path / name), "GZIP" if name.endswith(".gz") else "") as out:
            for i in rows:
                example = tf.train.Example()
                example.features.feature["left_id"].bytes_list.value.append(b"l%d" % i)
                example.features.feature["right_id"].bytes_list.value.append("é\0 ".encode() * i)
                example.features.feature["score"].float_list.value.append(i / 2)
                if i == 3:
                    example.features.feature["weight"].float_list.value.append(0.25)
                out.write(example.SerializeToString())
    return str(tmp_path / "*")


@pytest.mark.parametrize("tensors", [None, ["left_id", "score"]])
def test_the_columns_are_those_of_tfx(pattern: str, tensors: list[str] | None) -> None:
    readers = [kind(pattern, schema=SCHEMA) for kind in (BatchedExampleRecord, TFExampleRecord)]
    if tensors:
        readers = [reader.Project(tensors) for reader in readers]
    ours, theirs = (reader.TensorAdapterConfig() for reader in readers)
    assert ours.arrow_schema.equals(theirs.arrow_schema)
    assert ours.tensor_representations == theirs.tensor_representations


def test_the_rows_are_all_there(pattern: str) -> None:
    def keep(batches: list[pa.RecordBatch]) -> None:
        rows = sorted((row for batch in batches for row in batch.to_pylist()), key=lambda row: row["left_id"])
        assert [row["left_id"] for row in rows] == [[b"l%d" % i] for i in range(9)]
        assert [row["right_id"] for row in rows] == [["é\0 ".encode() * i] for i in range(9)]
        assert [row["score"] for row in rows] == [[i / 2] for i in range(9)]
        assert [row["weight"] for row in rows] == [None, None, None, [0.25], None, None, None, None, None]

    with beam.Pipeline() as pipeline:
        assert_that(pipeline | BatchedExampleRecord(pattern, schema=SCHEMA).BeamSource(), keep)


def test_tfx_is_given_our_processor_and_only_while_it_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    monkeypatch.setattr(tfx_executor.Executor, "Do", lambda *_: seen.append(tfx_executor.TransformProcessor))
    theirs = tfx_executor.TransformProcessor
    Executor().Do({}, {}, {})
    assert seen == [Processor]
    assert tfx_executor.TransformProcessor is theirs
