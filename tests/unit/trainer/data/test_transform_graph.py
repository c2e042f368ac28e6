"""The transform graph as a module, compared with the layer of TensorFlow Transform."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_transform as tft

from tests.unit.trainer.planted_model import Planted
from tests.unit.trainer.transforms import analyze
from trainer.data.transform_graph import TransformGraph
from trainer.settings import EncodeSettings, ScoreSettings

pytestmark = pytest.mark.tensorflow

RAW = {
    "left_id": tf.constant([[b"plain"], [b"007"], [b"never seen"]]),
    "right_id": tf.constant([[b"lock"], [b"0"], [b"\xff\x00"]]),
    "score": tf.constant([[95.0], [105.0], [-1.0]]),
}


NAMES = [["left_id"], ["right_id"], ["score"], ["left_id", "right_id"], list(RAW)]


def _directory(planted: Planted) -> str:
    return str(planted.model.parent.parent / "transform")


@pytest.fixture(scope="module")
def weighted(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A graph whose input also has a sparse feature, as for a schema with an optional weight."""
    rows = [(b"plain", b"lock", 1.0), (b"007", b"0", 2.0)]
    settings = {"encode": EncodeSettings().model_dump(), "score": ScoreSettings().model_dump()}
    graph = analyze(rows, tmp_path_factory.mktemp("weighted"), optional=["a_weight", "weight"], **settings)
    return graph._transform_output_dir


@pytest.mark.parametrize("names", NAMES)
def test_module_matches_tensorflow_transform_layer(planted: Planted, names: list[str]) -> None:
    _compare(_directory(planted), names)


@pytest.mark.parametrize("names", NAMES)
def test_absent_sparse_features_do_not_matter(weighted: str, names: list[str]) -> None:
    _compare(weighted, names)


def _compare(directory: str, names: list[str]) -> None:
    raw = {name: RAW[name] for name in names}
    found = TransformGraph(directory).transform_features_layer()(raw)
    expected = tft.TFTransformOutput(directory).transform_features_layer()(raw)
    assert found.keys() == expected.keys()
    assert found
    for name, values in expected.items():
        np.testing.assert_array_equal(found[name].numpy(), values.numpy())


def test_graph_is_loaded_once(planted: Planted) -> None:
    graph = TransformGraph(_directory(planted))
    assert graph.transform_features_layer() is graph.transform_features_layer()


def test_unknown_feature_is_refused(planted: Planted) -> None:
    with pytest.raises(ValueError, match="Unexpected inputs"):
        TransformGraph(_directory(planted)).transform_features_layer()({"label": RAW["score"]})


def test_saved_model_keeps_vocabularies(planted: Planted, tmp_path: Path) -> None:
    module = tf.Module()
    module.encode = TransformGraph(_directory(planted)).transform_features_layer()
    signature = tf.function(lambda left_id, encode=module.encode: encode({"left_id": left_id}))
    concrete = signature.get_concrete_function(tf.TensorSpec([None, 1], tf.string, name="left_id"))
    expected = concrete(left_id=RAW["left_id"])["left"].numpy()
    tf.saved_model.save(module, str(tmp_path), signatures={"encode": concrete})
    found = tf.saved_model.load(str(tmp_path)).signatures["encode"](left_id=RAW["left_id"])["left"].numpy()
    np.testing.assert_array_equal(found, expected)
    assert len(set(expected[:, 0])) == 3
