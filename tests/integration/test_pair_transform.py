"""Our executor against TFX's own on the same rows: the same vocabularies, metadata and encoded pairs."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_transform as tft
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2
from tfx.components.transform import executor as tfx_executor
from tfx.types import channel_utils, standard_artifacts

from components.pair_transform.component import PairTransform
from components.pair_transform.executor import Executor
from tests import written_examples
from tests.integration.ingesting import Row, example, write_tfrecord
from trainer.data.transform_graph import TransformGraph
from trainer.export.unit import unit_of

pytestmark = pytest.mark.tensorflow

SCHEMA = text_format.Parse((Path(__file__).parents[2] / "schemas" / "pairs.pbtxt").read_text(), schema_pb2.Schema())


ENCODE: dict[str, dict[str, object]] = {"two": {}, "shared": {"shared": True}}


@pytest.fixture(scope="module", params=[("scored", "two"), ("scored", "shared"), ("positives", "two")], ids="-".join)
def transforms(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The transform graphs of the same rows: by our executor, and by TFX's with TensorFlow Transform's own steps."""
    kind, encode = request.param
    scored = kind == "scored"
    folder = tmp_path_factory.mktemp(kind)
    schema = schema_pb2.Schema()
    schema.CopyFrom(SCHEMA)
    if not scored:
        schema.feature.remove(next(feature for feature in schema.feature if feature.name == "score"))
    (folder / "schema").mkdir()
    (folder / "schema" / "schema.pbtxt").write_text(text_format.MessageToString(schema))
    splits = [[_row(i, scored) for i in rows] for rows in (range(200), range(190, 220))]
    written_examples.write(folder / "columns", *splits, per_shard=64)
    for split, rows in zip(("train", "eval"), splits, strict=True):
        (folder / "records" / f"Split-{split}").mkdir(parents=True)
        write_tfrecord(folder / "records" / f"Split-{split}" / "a.gz", [_example(*row) for row in rows])
    config = {
        "encode": {"min_count": 2, "max_vocabulary": 20} | ENCODE[encode],
        "score": {"center": "mean", "scale": "std"},
    }
    # Under compat.v1, TensorFlow Transform takes no step that is for TensorFlow 2.
    _run(Executor, folder, "columns", folder / "ours", config, compat_v1=0)
    _run(tfx_executor.Executor, folder, "records", folder / "theirs", config, compat_v1=1)
    return folder / "ours", folder / "theirs"


def _row(i: int, scored: bool) -> Row:
    return b"l%d" % (i * i % 37), b"r \0\xc3\xa9%d" % (i * 7 % 23), *([i % 11 / 2] if scored else [])


def _example(left: bytes, right: bytes, *score: float) -> bytes:
    return example(left_id=[left], right_id=[right], score=list(score))


def _run(kind: type, folder: Path, rows: str, output: Path, config: dict[str, object], compat_v1: int) -> None:
    examples = standard_artifacts.Examples()
    examples.uri, examples.split_names = str(folder / rows), '["train", "eval"]'
    schema = standard_artifacts.Schema()
    schema.uri = str(folder / "schema")
    graph = standard_artifacts.TransformGraph()
    graph.uri = str(output)
    properties = {
        "preprocessing_fn": "trainer.preprocessing.preprocessing_fn",
        "custom_config": json.dumps(config),
        "disable_statistics": 1,
        "force_tf_compat_v1": compat_v1,
    }
    arguments = ["--runner=FnApiRunner", "--direct_running_mode=in_memory", "--direct_num_workers=1"]
    executor = kind(kind.Context(beam_pipeline_args=arguments, tmp_dir=str(folder / "temporary"), unique_id="1"))
    executor.Do({"examples": [examples], "schema": [schema]}, {"transform_graph": [graph]}, properties)


def test_vocabularies_are_those_of_tfx_to_the_byte(transforms: tuple[Path, Path]) -> None:
    ours, theirs = (
        {file.name: file.read_bytes() for file in (output / "transform_fn" / "assets").iterdir()}
        for output in transforms
    )
    assert ours == theirs
    assert ours.keys() in ({"left", "right"}, {"shared"})
    assert all(2 < len(content.splitlines()) <= 20 for content in ours.values())


def test_metadata_are_those_of_tfx(transforms: tuple[Path, Path]) -> None:
    ours, theirs = map(str, transforms)
    for name in ("raw_metadata", "transformed_metadata"):
        assert getattr(TransformGraph(ours), name).schema == getattr(TransformGraph(theirs), name).schema
    assert {path.name for path in transforms[0].iterdir()} == {path.name for path in transforms[1].iterdir()}


def test_pairs_are_encoded_as_by_tfx(transforms: tuple[Path, Path]) -> None:
    ours, theirs = map(str, transforms)
    raw = {
        "left_id": tf.constant([[b"l1"], [b"l4"], [b"unknown"]]),
        "right_id": tf.constant([[b"r \0\xc3\xa97"], [b"r \0\xc3\xa90"], [b""]]),
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


@pytest.mark.parametrize("center", ["mean", "midpoint"])
@pytest.mark.parametrize("described", [True, False], ids=["schema with weight", "schema without"])
def test_weight_is_as_many_rows(tmp_path: Path, center: str, described: bool) -> None:
    """Center and scale, with the curated schema and with one that does not have the weight."""
    schema = schema_pb2.Schema()
    schema.CopyFrom(SCHEMA)
    if not described:
        schema.feature.remove(next(feature for feature in schema.feature if feature.name == "weight"))
    (tmp_path / "schema").mkdir()
    (tmp_path / "schema" / "schema.pbtxt").write_text(text_format.MessageToString(schema))
    rows = [(*_row(i, True), 1 + i * i % 5) for i in range(90)]
    repeated = [row[:3] for row in rows for _ in range(row[3])]
    written_examples.write(tmp_path / "once", rows, rows[:5], per_shard=40)
    written_examples.write(tmp_path / "again", repeated, repeated[:5])
    config = {"encode": {}, "score": {"center": center, "scale": "std"}}
    _run(Executor, tmp_path, "once", tmp_path / "weighted", config | {"weighted": True}, compat_v1=0)
    _run(Executor, tmp_path, "again", tmp_path / "repeated", config, compat_v1=0)
    units = [unit_of(TransformGraph(str(tmp_path / name))) for name in ("weighted", "repeated")]
    scores = np.array([row[2] for row in repeated])
    expected = scores.mean() if center == "mean" else (scores.min() + scores.max()) / 2
    assert units[0].center == units[1].center == np.float32(expected)
    for unit in units:
        assert unit.scale == pytest.approx(scores.std(), rel=1e-6)
