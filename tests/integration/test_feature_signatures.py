"""The signatures with features of a published model, against NumPy and rows that are encoded by hand."""

from __future__ import annotations

import dataclasses
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf

from components.pair_transform import entity_features
from tests import written_examples
from tests.unit.trainer import planted_model
from tests.unit.trainer.planted_model import DIMENSION, LEFT, RIGHT
from tests.unit.trainer.transforms import analyze
from trainer.entity_features import table as feature_table
from trainer.entity_features.described import Described
from trainer.entity_features.encoder import FeatureEncoder, graph_folder
from trainer.entity_features.ridge import FeatureMap
from trainer.entity_features.settings import columns_of
from trainer.export import saved_model
from trainer.model.network import GLOBAL_BIAS, LEFT_BIAS, LEFT_VECTORS, RIGHT_BIAS, RIGHT_VECTORS, build_model
from trainer.model.table_sizes import TableSizes
from trainer.settings import EncodeSettings, ModelSettings

pytestmark = pytest.mark.tensorflow

COLUMNS = {
    "right": columns_of({"tags": {"kind": "tags"}, "size": {"kind": "number", "buckets": 2}, "made": "category"}),
    "left": columns_of({"age": "number"}),
}
# The last tag is the most frequent one, so it has the lowest number.
ROWS: dict[str, dict[str, list[Any]]] = {
    "right": {
        "id": RIGHT,
        "tags": [[b"b", b"a"], [b"a"], [b"a"], None, [b"b"], [b"a"], None],
        "size": [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, None],
        "made": [b"here", b"here", b"here", b"there", b"there", None, None],
    },
    "left": {"id": LEFT, "age": [0.0, 2.0] * (len(LEFT) // 2) + [1.0] * (len(LEFT) % 2)},
}


@dataclasses.dataclass(frozen=True)
class Model:
    """The loaded signatures, the tables and the maps."""

    signatures: Any
    left: np.ndarray  # [rows, d + 1], vectors and biases
    right: np.ndarray
    maps: dict[str, np.ndarray]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    folder = tmp_path_factory.mktemp("described")
    rows = planted_model.rows()
    written_examples.write(folder / "examples", rows, rows[:1])
    random = np.random.default_rng(4)
    described = {}
    (folder / "examples" / "features").mkdir()
    for side, columns in COLUMNS.items():
        table = pa.table(ROWS[side], schema=feature_table.schema_of(columns))
        path = feature_table.table_file(str(folder / "examples"), side)
        with pa.OSFile(path, "wb") as out, pa.ipc.new_file(out, table.schema) as file:
            file.write_table(table)
        entity_features.analyze(str(folder / "examples"), side, columns, str(folder), beam.Pipeline)
        encoder = FeatureEncoder(graph_folder(str(folder), side), columns)
        weights = random.normal(size=(encoder.width, DIMENSION + 1)).astype(np.float32)
        described[side] = Described(encoder, FeatureMap(weights, 1.0, 0.5))
    learned = analyze(rows, folder, encode=EncodeSettings().model_dump(), score={"center": "mean", "scale": "std"})
    network = build_model(TableSizes(len(LEFT) + 1, len(RIGHT) + 1), ModelSettings(dimension=DIMENSION), seed=1)
    left, right = (random.normal(size=(n + 1, DIMENSION + 1)).astype(np.float32) for n in (len(LEFT), len(RIGHT)))
    for vectors, biases, values in ((LEFT_VECTORS, LEFT_BIAS, left), (RIGHT_VECTORS, RIGHT_BIAS, right)):
        network.get_layer(vectors).set_weights([values[:, :-1]])
        network.get_layer(biases).set_weights([values[:, -1:]])
    network.get_layer(GLOBAL_BIAS).set_weights([np.float32(0.75)])
    path = folder / "serving" / "1"
    saved_model.export(network, learned, False, str(path), scores=(96.0, 104.0), described=described)
    maps = {side: known.map.weights for side, known in described.items()}
    return Model(tf.saved_model.load(str(path)).signatures, left, right, maps)


# Tags a and b, two buckets of size below and from 3.5 or 4, here and there, and 1.
NEW = {
    "right_tags": [[b"a", b"b"], [b"b", b""], [b"never seen", b""]],
    "right_size": [9.0, 0.0, float("nan")],
    "right_made": [b"there", b"", b"never seen"],
}
ENCODED = np.array(
    [[2**-0.5, 2**-0.5, 0, 1, 0, 1, 1], [0, 1, 1, 0, 0, 0, 1], [0, 0, 0, 0, 0, 0, 1]],
    np.float64,
)


def _call(model: Model, name: str, **inputs: Any) -> dict[str, np.ndarray]:
    function = model.signatures[name]
    specs = function.structured_input_signature[1]
    assert sorted(specs) == sorted(inputs)
    tensors = {key: tf.constant(value, specs[key].dtype) for key, value in inputs.items()}
    return {key: value.numpy() for key, value in function(**tensors).items()}


def test_an_unseen_entity_has_the_vector_of_its_features(model: Model) -> None:
    found = _call(model, "embed_right_features", **NEW)
    np.testing.assert_allclose(found["embedding"], (ENCODED @ model.maps["right"])[:, :-1], atol=1e-5)
    assert found["known"].tolist() == [True, True, False]


def test_numbers_are_standardized(model: Model) -> None:
    found = _call(model, "embed_left_features", left_age=[1.0, float("nan")])
    ages = np.array(ROWS["left"]["age"])
    rows = np.array([[(1 - ages.mean()) / ages.std(), 1], [0, 1]])
    np.testing.assert_allclose(found["embedding"], (rows @ model.maps["left"])[:, :-1], atol=1e-5)


def test_a_known_id_has_its_own_vector_and_an_unknown_one_that_of_its_features(model: Model) -> None:
    ids = {"left_id": [LEFT[2], b"new"], "right_id": [b"new", RIGHT[1]]}
    features = {name: values[:2] for name, values in NEW.items()}
    found = _call(model, "score_features", **ids, **features, left_age=[0.0, float("nan")])
    right = np.stack([ENCODED[0] @ model.maps["right"], model.right[1]])
    left = np.stack([model.left[2], model.maps["left"][-1]])
    scores = (left[:, :-1] * right[:, :-1]).sum(axis=1) + left[:, -1] + right[:, -1] + 0.75
    np.testing.assert_allclose(found["score"], scores, atol=1e-4)
    np.testing.assert_allclose(found["strength"], np.abs(scores), atol=1e-4)
    np.testing.assert_allclose(found["value"], np.clip(scores * 5 + 100, 96, 104), atol=1e-3)
    assert found["left_known"].tolist() == [True, False]
    assert found["right_known"].tolist() == [False, True]


def test_the_nearest_entities_of_an_unseen_one_are_ranked_by_score_and_by_cosine(model: Model) -> None:
    vectors = ENCODED @ model.maps["right"]
    scores = vectors[:, :-1] @ model.left[: len(LEFT), :-1].T + model.left[: len(LEFT), -1] + vectors[:, -1:] + 0.75
    found = _call(model, "similar_left_features", **NEW, k=4)
    order = np.argsort(-scores, axis=1)[:, :4]
    np.testing.assert_allclose(found["score"], np.take_along_axis(scores, order, axis=1), atol=1e-4)
    assert found["left_id"].tolist() == [[LEFT[i] for i in row] for row in order]
    known = model.right[: len(RIGHT), :-1]
    cosines = vectors[:, :-1] @ known.T / np.linalg.norm(vectors[:, :-1], axis=1)[:, None]
    cosines /= np.linalg.norm(known, axis=1)
    found = _call(model, "neighbors_right_features", **NEW, k=99)
    assert found["right_id"].tolist() == [[RIGHT[i] for i in row] for row in np.argsort(-cosines, axis=1)]
    np.testing.assert_allclose(found["score"], -np.sort(-cosines, axis=1), atol=1e-5)
    assert found["known"].tolist() == [True, True, False]
