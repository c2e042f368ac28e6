"""Sparse optimizers equal the dense ones if every row is used. Unused rows stay exactly equal."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from trainer.gradient.optimizers import LazyAdam, RowwiseAdagrad, SparseSGD, build_optimizer, sum_by_row
from trainer.settings import TrainSettings

pytestmark = pytest.mark.tensorflow

ROWS, WIDTH = 7, 3


def _table(seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(ROWS, WIDTH)).astype(np.float32)


def _slices(gradient: np.ndarray, rows: list[int]) -> tf.IndexedSlices:
    return tf.IndexedSlices(tf.constant(gradient, tf.float32), tf.constant(rows, tf.int32), tf.constant([ROWS, WIDTH]))


def _steps(count: int) -> list[np.ndarray]:
    return [_table(seed) for seed in range(10, 10 + count)]


@pytest.mark.parametrize(
    ("sparse", "dense"),
    [
        (SparseSGD(0.1), keras.optimizers.SGD(0.1)),
        (LazyAdam(0.1), keras.optimizers.Adam(0.1)),
    ],
    ids=["sgd", "adam"],
)
def test_dense_steps_match_keras(sparse, dense) -> None:
    ours, theirs = keras.Variable(_table()), keras.Variable(_table())
    order = [3, 0, 6, 2, 5, 1, 4]
    for gradient in _steps(5):
        sparse.apply_gradients([(_slices(gradient[order], order), ours)])
        dense.apply_gradients([(tf.constant(gradient), theirs)])
        np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=1e-5, atol=1e-6)
    assert np.abs(ours.numpy() - _table()).min() > 1e-3


def _rowwise_adagrad(table: np.ndarray, steps: list[np.ndarray], rate: float, epsilon: float) -> np.ndarray:
    """Computes row by row in plain Python."""
    table = table.astype(np.float64)
    for row in range(len(table)):
        accumulator = 1e-8
        for gradient in steps:
            accumulator += sum(float(g) ** 2 for g in gradient[row]) / len(gradient[row])
            table[row] -= rate * gradient[row] / (accumulator + epsilon) ** 0.5
    return table


def test_rowwise_adagrad_matches_formula() -> None:
    steps = _steps(4)
    expected = _rowwise_adagrad(_table(), steps, 0.1, 1e-7)
    for dense in (False, True):
        optimizer, variable = RowwiseAdagrad(0.1), keras.Variable(_table())
        for gradient in steps:
            value = tf.constant(gradient) if dense else _slices(gradient, list(range(ROWS)))
            optimizer.apply_gradients([(value, variable)])
        np.testing.assert_allclose(variable.numpy(), expected, rtol=1e-5)
        (accumulator,) = [v for v in optimizer.variables if "accumulator" in v.name]
        assert accumulator.shape == (ROWS, 1)


def test_rowwise_adagrad_of_scalars_is_adagrad() -> None:
    ours, theirs = keras.Variable(_table()[:, :1]), keras.Variable(_table()[:, :1])
    sparse = RowwiseAdagrad(0.1, initial_accumulator_value=0.1)
    dense = keras.optimizers.Adagrad(0.1, initial_accumulator_value=0.1, epsilon=1e-7)
    for gradient in _steps(3):
        rows = tf.range(ROWS)
        sparse.apply_gradients([(tf.IndexedSlices(gradient[:, :1], rows, tf.constant([ROWS, 1])), ours)])
        dense.apply_gradients([(tf.constant(gradient[:, :1]), theirs)])
        np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=1e-5)


@pytest.mark.parametrize("name", ["adagrad", "adam", "sgd"])
def test_untouched_rows_stay_exact(name: str) -> None:
    optimizer, variable = build_optimizer(TrainSettings(optimizer=name, learning_rate=0.3)), keras.Variable(_table())
    optimizer.build([variable])
    touched = [5, 2]

    def others() -> list[np.ndarray]:
        states = [variable, *(v for v in optimizer.variables if len(v.shape) and v.shape[0] == ROWS)]
        return [np.delete(state.numpy(), touched, axis=0).view(np.uint32) for state in states]

    for gradient in _steps(3):
        before, rows = others(), variable.numpy()[touched]
        optimizer.apply_gradients([(_slices(gradient[touched], touched), variable)])
        for state, as_it_was in zip(others(), before, strict=True):
            np.testing.assert_array_equal(state, as_it_was)
        assert (variable.numpy()[touched] != rows).all()


@pytest.mark.parametrize("name", ["adagrad", "adam", "sgd"])
def test_duplicate_rows_are_summed(name: str) -> None:
    (gradient,) = _steps(1)
    tables = []
    for rows, values in (
        ([4, 1, 4], gradient[:3]),
        ([1, 4], np.stack([gradient[1], gradient[0] + gradient[2]])),
    ):
        optimizer, variable = build_optimizer(TrainSettings(optimizer=name)), keras.Variable(_table())
        optimizer.apply_gradients([(_slices(values, rows), variable)])
        tables.append(variable.numpy())
    np.testing.assert_allclose(*tables, rtol=1e-6)


def test_sum_by_row_matches_dense_gradient() -> None:
    random = np.random.default_rng(4)
    rows, values = random.integers(0, ROWS, 40), random.normal(size=(40, WIDTH)).astype(np.float32)
    summed = sum_by_row(_slices(values, rows.tolist()))
    expected = np.zeros((ROWS, WIDTH), np.float32)
    np.add.at(expected, rows, values)
    found = np.zeros((ROWS, WIDTH), np.float32)
    found[summed.indices.numpy()] = summed.values.numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    assert len(set(summed.indices.numpy().tolist())) == len(summed.indices)


def test_optimizer_is_built_by_name() -> None:
    for name, kind in (("adagrad", RowwiseAdagrad), ("adam", LazyAdam), ("sgd", SparseSGD)):
        optimizer = build_optimizer(TrainSettings(optimizer=name, learning_rate=0.25))
        assert type(optimizer) is kind and float(optimizer.learning_rate) == 0.25
    with pytest.raises(ValueError, match=r"unknown optimizer 'lion'\. Choose from adagrad, adam, sgd"):
        build_optimizer(TrainSettings.model_construct(optimizer="lion"))
