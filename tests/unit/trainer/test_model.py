"""The Keras model and its loss against plain NumPy."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from trainer.dataset import Pairs, batches
from trainer.model import GLOBAL_BIAS, LEFT_BIAS, LEFT_VECTORS, RIGHT_BIAS, RIGHT_VECTORS, TableSizes, build_model
from trainer.objectives import compile_arguments
from trainer.optimizers import build_optimizer
from trainer.settings import ModelSettings, TrainSettings

pytestmark = pytest.mark.tensorflow

SIZES = TableSizes(left=6, right=4)
LEFT = np.array([[0], [5], [2], [2], [3]], np.int32)
RIGHT = np.array([[3], [0], [1], [1], [2]], np.int32)
LABEL = np.array([[1.0], [-2.0], [0.5], [0.5], [3.0]], np.float32)


def _randomised(sizes: TableSizes, settings: ModelSettings) -> tuple[keras.Model, dict[str, np.ndarray]]:
    """A model whose every weight is random, biases too, and those weights by layer."""
    model = build_model(sizes, settings, seed=1)
    random = np.random.default_rng(2)
    weights = {}
    for layer in model.layers:
        if layer.weights:
            weights[layer.name] = random.normal(size=layer.get_weights()[0].shape).astype(np.float32)
            layer.set_weights([weights[layer.name]])
    return model, {name: array.astype(np.float64) for name, array in weights.items()}


def _expected(weights: dict[str, np.ndarray]) -> np.ndarray:
    """Pair by pair, coordinate by coordinate."""
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


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("strength", [0.0, 0.25])
def test_loss_is_squared_error_plus_the_penalty_on_the_rows_of_the_batch(bias: bool, strength: float) -> None:
    settings = ModelSettings(dimension=3, bias=bias, regularization=strength)
    model, weights = _randomised(SIZES, settings)
    model.compile(optimizer="sgd", **compile_arguments(settings))
    results = model.evaluate([LEFT, RIGHT], LABEL, batch_size=5, verbose=0, return_dict=True)
    error = _expected(weights) - LABEL
    tables = [(LEFT_VECTORS, LEFT), (RIGHT_VECTORS, RIGHT)] + [(LEFT_BIAS, LEFT), (RIGHT_BIAS, RIGHT)] * bias
    penalty = sum((weights[name][rows[:, 0]] ** 2).sum() / len(rows) for name, rows in tables)
    assert results["loss"] == pytest.approx((error**2).mean() + strength * penalty, rel=1e-5)
    assert results["rmse"] == pytest.approx(np.sqrt((error**2).mean()), rel=1e-5)


def test_one_step_of_descent_moves_every_table_down_the_gradient_of_that_loss() -> None:
    strength, rate = 0.25, 0.05
    settings = ModelSettings(dimension=3, bias=True, regularization=strength)
    model, weights = _randomised(SIZES, settings)
    optimizer = build_optimizer(TrainSettings(optimizer="sgd", learning_rate=rate))
    model.compile(optimizer=optimizer, **compile_arguments(settings))
    model.train_on_batch([LEFT, RIGHT], LABEL)
    error = (_expected(weights) - LABEL)[:, 0]
    gradients = {name: np.zeros_like(array) for name, array in weights.items()}
    for b, (i, j) in enumerate(zip(LEFT[:, 0], RIGHT[:, 0], strict=True)):
        for name, row, factor in (
            (LEFT_VECTORS, i, weights[RIGHT_VECTORS][j]),
            (RIGHT_VECTORS, j, weights[LEFT_VECTORS][i]),
            (LEFT_BIAS, i, 1.0),
            (RIGHT_BIAS, j, 1.0),
        ):
            gradients[name][row] += (2 * error[b] * factor + strength * 2 * weights[name][row]) / len(LEFT)
        gradients[GLOBAL_BIAS] += 2 * error[b] / len(LEFT)
    for name, before in weights.items():
        after = model.get_layer(name).get_weights()[0]
        np.testing.assert_allclose(after, before - rate * gradients[name], rtol=1e-4, atol=1e-6, err_msg=name)


@pytest.mark.parametrize("dimension", [2, 50])
def test_rows_start_with_the_expected_length_whatever_the_dimension(dimension: int) -> None:
    model = build_model(TableSizes(4000, 10), ModelSettings(dimension=dimension, initial_scale=0.7), seed=3)
    rows = model.get_layer(LEFT_VECTORS).get_weights()[0]
    assert np.sqrt((rows**2).sum(axis=1).mean()) == pytest.approx(0.7, rel=0.03)
    assert not model.get_layer(LEFT_BIAS).get_weights()[0].any()


def test_the_sides_start_apart_and_by_the_seed() -> None:
    first, second, other = (build_model(TableSizes(5, 5), ModelSettings(dimension=4), seed=s) for s in (1, 1, 2))
    table = {
        name: model.get_layer(LEFT_VECTORS).get_weights()[0]
        for name, model in zip("abc", (first, second, other), strict=True)
    }
    np.testing.assert_array_equal(table["a"], table["b"])
    assert (table["a"] != table["c"]).all()
    assert (table["a"] != first.get_layer(RIGHT_VECTORS).get_weights()[0]).all()


@pytest.mark.parametrize(
    ("name", "expected"),
    [("adagrad", keras.optimizers.Adagrad), ("adam", keras.optimizers.Adam), ("sgd", keras.optimizers.SGD)],
)
def test_optimizers_by_name(name: str, expected: type) -> None:
    optimizer = build_optimizer(TrainSettings(optimizer=name, learning_rate=0.25))
    assert type(optimizer) is expected
    assert float(optimizer.learning_rate) == 0.25


def test_unknown_names_are_refused() -> None:
    with pytest.raises(ValueError, match=r"unknown optimizer 'lion'; known: adagrad, adam, sgd"):
        build_optimizer(TrainSettings(optimizer="lion"))
    with pytest.raises(ValueError, match="unknown objective 'hinge'"):
        compile_arguments(ModelSettings(objective="hinge"))


def test_a_rows_weight_multiplies_its_error() -> None:
    """The error that training reports and minimises; weight 0 is no row to learn from."""
    settings = ModelSettings(dimension=3, bias=True)
    model, weights = _randomised(SIZES, settings)
    model.compile(optimizer="sgd", **compile_arguments(settings))
    row_weights = np.array([[2.0], [0.0], [1.0], [0.5], [3.0]], np.float32)
    pairs = Pairs(LEFT[:, 0], RIGHT[:, 0], LABEL[:, 0], row_weights[:, 0])
    results = model.evaluate(batches(pairs, 5), verbose=0, return_dict=True)
    error = _expected(weights) - LABEL
    assert results["loss"] == pytest.approx((row_weights * error**2).mean(), rel=1e-5)
