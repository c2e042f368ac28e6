"""The transform graph as a module, against TensorFlow Transform's own layer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_transform as tft

from tests.unit.trainer.planted_model import Planted
from trainer.data.transform_graph import TransformGraph

pytestmark = pytest.mark.tensorflow

RAW = {
    "left_id": tf.constant([[b"plain"], [b"007"], [b"never seen"]]),
    "right_id": tf.constant([[b"lock"], [b"0"], [b"\xff\x00"]]),
    "score": tf.constant([[95.0], [105.0], [-1.0]]),
}


def _directory(planted: Planted) -> str:
    return str(planted.model.parent.parent / "transform")


@pytest.mark.parametrize("names", [["left_id"], ["right_id"], ["score"], ["left_id", "right_id"], list(RAW)])
def test_it_answers_as_the_layer_of_tensorflow_transform(planted: Planted, names: list[str]) -> None:
    raw = {name: RAW[name] for name in names}
    found = TransformGraph(_directory(planted)).transform_features_layer()(raw)
    expected = tft.TFTransformOutput(_directory(planted)).transform_features_layer()(raw)
    assert found.keys() == expected.keys()
    assert found
    for name, values in expected.items():
        np.testing.assert_array_equal(found[name].numpy(), values.numpy())


def test_it_is_loaded_once(planted: Planted) -> None:
    graph = TransformGraph(_directory(planted))
    assert graph.transform_features_layer() is graph.transform_features_layer()


def test_a_feature_of_another_name_is_refused(planted: Planted) -> None:
    with pytest.raises(ValueError, match="Unexpected inputs"):
        TransformGraph(_directory(planted)).transform_features_layer()({"label": RAW["score"]})


def test_a_saved_model_keeps_its_vocabularies(planted: Planted, tmp_path: Path) -> None:
    module = tf.Module()
    module.encode = TransformGraph(_directory(planted)).transform_features_layer()
    signature = tf.function(lambda left_id, encode=module.encode: encode({"left_id": left_id}))
    concrete = signature.get_concrete_function(tf.TensorSpec([None, 1], tf.string, name="left_id"))
    expected = concrete(left_id=RAW["left_id"])["left"].numpy()
    tf.saved_model.save(module, str(tmp_path), signatures={"encode": concrete})
    found = tf.saved_model.load(str(tmp_path)).signatures["encode"](left_id=RAW["left_id"])["left"].numpy()
    np.testing.assert_array_equal(found, expected)
    assert len(set(expected[:, 0])) == 3
