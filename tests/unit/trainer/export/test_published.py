"""The tables of a published model, read from its files, score pairs like its signature."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf

from components.coded_pairs import CodedPairs
from components.evaluator.predict import predict
from errors import InputError
from tests.unit.trainer import planted_model
from tests.unit.trainer.planted_model import LEFT, RIGHT, Planted
from trainer.data.examples import Rows
from trainer.export.tables import read_tables

pytestmark = pytest.mark.tensorflow


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Planted:
    return planted_model.publish(tmp_path_factory.mktemp("published"))


def test_tables_score_like_model(planted: Planted) -> None:
    tables = read_tables(str(planted.model))
    assert tables.left.ids.to_pylist() == LEFT and tables.right.ids.to_pylist() == RIGHT
    assert (tables.left.known, tables.right.known) == (len(LEFT), len(RIGHT))
    scores = (
        tables.left.vectors @ tables.right.vectors.T + tables.left.bias[:, None] + tables.right.bias + tables.offset
    )
    np.testing.assert_allclose(scores, planted.scores(), rtol=1e-5, atol=1e-6)
    asked = pa.array([RIGHT[3], b"never seen", RIGHT[0]], pa.large_binary())
    assert tables.right.rows_of(asked).tolist() == [3, -1, 0]
    np.testing.assert_array_equal(tables.right.vectors_of(asked), tables.right.vectors[[3, len(RIGHT), 0]])
    np.testing.assert_array_equal(tables.right.biases_of(asked), tables.right.bias[[3, len(RIGHT), 0]])


def test_predictions_match_score_signature(planted: Planted, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainer.export.tables._BLOCK", 4)
    ids = [pa.array([*of, b"never seen"], pa.large_binary()) for of in (LEFT, RIGHT)]
    left, right = (grid.ravel().astype(np.int32) for grid in np.meshgrid(range(len(LEFT) + 1), range(len(RIGHT) + 1)))
    columns = Rows(left, right, np.zeros(len(left), np.float32))
    found = predict(read_tables(str(planted.model)), CodedPairs(*ids, columns, columns))
    expected = planted.scores()[left, right]
    np.testing.assert_allclose(found.answers.score, expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found.answers.value, expected * planted.scale + planted.center, rtol=1e-5)
    assert found.known.tolist() == ((left < len(LEFT)) & (right < len(RIGHT))).tolist()


def test_model_without_center_is_refused(planted: Planted, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint = tf.train.load_checkpoint(str(planted.model / "variables" / "variables"))
    older = SimpleNamespace(
        has_tensor=lambda key: not key.startswith("center/") and checkpoint.has_tensor(key),
        get_tensor=checkpoint.get_tensor,
    )
    monkeypatch.setattr(tf.train, "load_checkpoint", lambda _: older)
    with pytest.raises(InputError, match=r"older version wrote this model.*Set --root to another root"):
        read_tables(str(planted.model))
