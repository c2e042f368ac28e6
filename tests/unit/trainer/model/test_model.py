"""The Keras model compared with plain NumPy."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from trainer.model.network import GLOBAL_BIAS, LEFT_BIAS, LEFT_VECTORS, RIGHT_BIAS, RIGHT_VECTORS, build_model
from trainer.model.table_sizes import TableSizes
from trainer.settings import ModelSettings

pytestmark = pytest.mark.tensorflow

SIZES = TableSizes(left=6, right=4)
LEFT = np.array([[0], [5], [2], [2], [3]], np.int32)
RIGHT = np.array([[3], [0], [1], [1], [2]], np.int32)


def _randomised(sizes: TableSizes, settings: ModelSettings) -> tuple[keras.Model, dict[str, np.ndarray]]:
    """Returns a model with random weights and biases, and the weights by layer."""
    model = build_model(sizes, settings, seed=1)
    random = np.random.default_rng(2)
    weights = {}
    for layer in model.layers:
        if layer.weights:
            weights[layer.name] = random.normal(size=layer.get_weights()[0].shape).astype(np.float32)
            layer.set_weights([weights[layer.name]])
    return model, {name: array.astype(np.float64) for name, array in weights.items()}


def _expected(weights: dict[str, np.ndarray]) -> np.ndarray:
    """Computes pair by pair, coordinate by coordinate."""
    p, q = weights[LEFT_VECTORS], weights.get(RIGHT_VECTORS, weights[LEFT_VECTORS])
    scores = []
    for i, j in zip(LEFT[:, 0], RIGHT[:, 0], strict=True):
        score = sum(p[i, d] * q[j, d] for d in range(p.shape[1]))
        if LEFT_BIAS in weights:
            score += weights[LEFT_BIAS][i, 0] + weights[RIGHT_BIAS][j, 0] + weights[GLOBAL_BIAS]
        scores.append([score])
    return np.array(scores, np.float64)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("regularization", [0.0, 0.5])
def test_score_is_dot_product_plus_biases(bias: bool, shared: bool, regularization: float) -> None:
    settings = ModelSettings(dimension=3, bias=bias, regularization=regularization)
    sizes = TableSizes(6, 6, shared=True) if shared else SIZES
    model, weights = _randomised(sizes, settings)
    assert (RIGHT_VECTORS in weights) is not shared
    assert {LEFT_BIAS, RIGHT_BIAS, GLOBAL_BIAS} & set(weights) == (
        {LEFT_BIAS, RIGHT_BIAS, GLOBAL_BIAS} if bias else set()
    )
    scores = model([LEFT, RIGHT]).numpy()
    assert scores.shape == (5, 1)
    np.testing.assert_allclose(scores, _expected(weights), rtol=1e-5)


@pytest.mark.parametrize("dimension", [2, 50])
def test_initial_length_is_independent_of_dimension(dimension: int) -> None:
    model = build_model(TableSizes(4000, 10), ModelSettings(dimension=dimension, initial_scale=0.7), seed=3)
    rows = model.get_layer(LEFT_VECTORS).get_weights()[0]
    assert np.sqrt((rows**2).sum(axis=1).mean()) == pytest.approx(0.7, rel=0.03)
    assert not model.get_layer(LEFT_BIAS).get_weights()[0].any()


def test_sides_differ_and_follow_seed() -> None:
    first, second, other = (build_model(TableSizes(5, 5), ModelSettings(dimension=4), seed=s) for s in (1, 1, 2))
    table = {
        name: model.get_layer(LEFT_VECTORS).get_weights()[0]
        for name, model in zip("abc", (first, second, other), strict=True)
    }
    np.testing.assert_array_equal(table["a"], table["b"])
    assert (table["a"] != table["c"]).all()
    assert (table["a"] != first.get_layer(RIGHT_VECTORS).get_weights()[0]).all()


def test_normalize_makes_dot_product_cosine() -> None:
    model, weights = _randomised(SIZES, ModelSettings(dimension=3, bias=False, normalize=True))
    for name in (LEFT_VECTORS, RIGHT_VECTORS):
        weights[name] /= np.sqrt((weights[name] ** 2).sum(axis=1, keepdims=True))
    scores = model([LEFT, RIGHT]).numpy()
    np.testing.assert_allclose(scores, _expected(weights), rtol=1e-5)
    assert np.abs(scores).max() <= 1


@pytest.mark.parametrize("objective", ["logistic", "softmax", "pairwise", "cosine"])
@pytest.mark.parametrize("bias", [True, False])
def test_other_objectives_have_global_bias(objective: str, bias: bool) -> None:
    model = build_model(SIZES, ModelSettings(dimension=3, bias=bias, objective=objective), seed=1)
    offset = model.get_layer(GLOBAL_BIAS)
    assert bool(offset.trainable_weights) is (bias and objective == "logistic")
    before = model([LEFT, RIGHT]).numpy()
    offset.set_weights([np.float32(0.5)])
    np.testing.assert_allclose(model([LEFT, RIGHT]).numpy(), before + 0.5, rtol=1e-6)
