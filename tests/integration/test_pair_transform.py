"""Our reader and executor against TFX's own: the same columns, vocabularies, metadata and encoded pairs."""

from __future__ import annotations

import json
from pathlib import Path

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf
import tensorflow_transform as tft
from apache_beam.testing.util import assert_that
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2
from tfx.components.transform import executor as tfx_executor
from tfx.types import channel_utils, standard_artifacts
from tfx_bsl.tfxio.tf_example_record import TFExampleRecord

from components.pair_transform.component import PairTransform
from components.pair_transform.executor import BatchedExampleRecord, Executor
from trainer.data.transform_graph import TransformGraph

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


@pytest.fixture(scope="module", params=["scored", "positives"])
def transforms(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The transform graphs of the same examples by our executor and by TFX's, with TensorFlow Transform's own steps."""
    folder = tmp_path_factory.mktemp(request.param)
    schema = schema_pb2.Schema()
    schema.CopyFrom(SCHEMA)
    if request.param == "positives":
        schema.feature.remove(next(feature for feature in schema.feature if feature.name == "score"))
    (folder / "schema").mkdir()
    (folder / "schema" / "schema.pbtxt").write_text(text_format.MessageToString(schema))
    for split, rows in (("train", range(200)), ("eval", range(190, 220))):
        (folder / "examples" / f"Split-{split}").mkdir(parents=True)
        with tf.io.TFRecordWriter(str(folder / "examples" / f"Split-{split}" / "a.gz"), "GZIP") as out:
            for i in rows:
                out.write(_example(i, scored=request.param == "scored").SerializeToString())
    found = folder / "ours", folder / "theirs"
    for output, kind, compat_v1 in zip(found, (Executor, tfx_executor.Executor), (0, 1), strict=True):
        _run(kind, folder, output, compat_v1)
    return found


def _example(i: int, scored: bool) -> tf.train.Example:
    example = tf.train.Example()
    example.features.feature["left_id"].bytes_list.value.append(b"l%d" % (i * i % 37))
    example.features.feature["right_id"].bytes_list.value.append(b"r \0\xff%d" % (i * 7 % 23))
    if scored:
        example.features.feature["score"].float_list.value.append(i % 11 / 2)
    return example


def _run(kind: type, folder: Path, output: Path, compat_v1: int) -> None:
    examples = standard_artifacts.Examples()
    examples.uri, examples.split_names = str(folder / "examples"), '["train", "eval"]'
    schema = standard_artifacts.Schema()
    schema.uri = str(folder / "schema")
    graph = standard_artifacts.TransformGraph()
    graph.uri = str(output)
    config = {"encode": {"min_count": 2, "max_vocabulary": 20}, "score": {"center": "mean", "scale": "std"}}
    properties = {
        "preprocessing_fn": "trainer.preprocessing.preprocessing_fn",
        "custom_config": json.dumps(config),
        "disable_statistics": 1,
        "force_tf_compat_v1": compat_v1,  # TFX's: then TensorFlow Transform takes no step that is for TensorFlow 2
    }
    arguments = ["--runner=DirectRunner", "--direct_running_mode=in_memory", "--direct_num_workers=1"]
    executor = kind(kind.Context(beam_pipeline_args=arguments, tmp_dir=str(folder / "temporary"), unique_id="1"))
    executor.Do({"examples": [examples], "schema": [schema]}, {"transform_graph": [graph]}, properties)


def test_vocabularies_are_those_of_tfx_to_the_byte(transforms: tuple[Path, Path]) -> None:
    ours, theirs = (
        {file.name: file.read_bytes() for file in (output / "transform_fn" / "assets").iterdir()}
        for output in transforms
    )
    assert ours == theirs
    assert ours.keys() == {"left", "right"}
    assert 2 < len(ours["left"].splitlines()) <= 20


def test_metadata_are_those_of_tfx(transforms: tuple[Path, Path]) -> None:
    ours, theirs = map(str, transforms)
    for name in ("raw_metadata", "transformed_metadata"):
        assert getattr(TransformGraph(ours), name).schema == getattr(TransformGraph(theirs), name).schema
    assert {path.name for path in transforms[0].iterdir()} == {path.name for path in transforms[1].iterdir()}


def test_pairs_are_encoded_as_by_tfx(transforms: tuple[Path, Path]) -> None:
    ours, theirs = map(str, transforms)
    raw = {
        "left_id": tf.constant([[b"l1"], [b"l4"], [b"unknown"]]),
        "right_id": tf.constant([[b"r \0\xff7"], [b"r \0\xff0"], [b""]]),
    }
    if "score" in TransformGraph(ours).raw_feature_spec():
        raw["score"] = tf.constant([[0.0], [1.5], [7.0]])
    found = TransformGraph(ours).transform_features_layer()(raw)
    expected = tft.TFTransformOutput(theirs).transform_features_layer()(raw)
    assert found.keys() == expected.keys() == {"left", "right", "label"}
    for name, values in expected.items():
        np.testing.assert_array_equal(found[name].numpy(), values.numpy())


def test_component_writes_the_graph_alone() -> None:
    examples, schema = channel_utils.as_channel([standard_artifacts.Examples()]), standard_artifacts.Schema()
    component = PairTransform(examples, channel_utils.as_channel([schema]), "a.function", {"encode": {}})
    assert component.outputs.keys() == {"transform_graph"}
    assert component.exec_properties["custom_config"] == '{"encode": {}}'
