"""The best columns, compared with a stable sort."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from trainer.export.best import _FEW, best, run_length

KS = (0, 1, 2, 10, 63, 64, 65, 700)


def sorted_best(scores: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns what `best` should: a stable sort keeps the order of equal scores."""
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return order, np.take_along_axis(scores, order, axis=1)


@pytest.fixture(scope="module", params=[100, _FEW - 1, _FEW, _FEW + 1, 5003, 6000])
def ranked(request: pytest.FixtureRequest) -> tuple[int, tf.types.experimental.GenericFunction]:
    """A number of columns, some with a divisor near the ideal length and some without, and the traced function."""
    columns = request.param
    spec = tf.TensorSpec([None, columns], tf.float32), tf.TensorSpec([], tf.int32)
    return columns, tf.function(best, input_signature=spec)


@pytest.mark.parametrize("values", ["distinct", "ties", "equal", "few", "infinite"])
def test_best_are_those_of_a_stable_sort(ranked: tuple, values: str) -> None:
    columns, function = ranked
    random = np.random.default_rng(columns)
    scores = random.standard_normal((7, columns)).astype(np.float32)
    if values == "ties":  # about as many equal maxima as runs
        scores = np.round(scores * 2) / 2
    elif values == "equal":
        scores[:] = -1.5
    elif values == "few":  # as if nearly all were excluded
        scores[random.random(scores.shape) > 5 / columns] = -np.inf
    elif values == "infinite":
        scores[:] = -np.inf
    for k in (k for k in (*KS, columns) if k <= columns):
        found, expected = function(scores, k), sorted_best(scores, k)
        np.testing.assert_array_equal(found[0], expected[0])
        np.testing.assert_array_equal(found[1], expected[1])


def test_no_rows_have_no_best(ranked: tuple) -> None:
    columns, function = ranked
    rows, values = function(np.zeros((0, columns), np.float32), 12)
    assert (rows.shape, values.shape) == ((0, 12), (0, 12))


@pytest.mark.parametrize("columns", [_FEW, 5003, 10_000, 100_003, 1_000_000, 2**31 - 1])
def test_runs_have_about_the_ideal_length(columns: int) -> None:
    length, ideal = run_length(columns), (columns / 10) ** 0.5
    assert ideal * 0.6 < length < ideal * 2
    assert columns % length == 0 or all(columns % other for other in range(round(ideal * 0.7), round(ideal * 1.9)))
