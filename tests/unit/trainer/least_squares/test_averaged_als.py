"""Averaged ALS: the mean of the scores of its copies, in the tables of one model."""

from __future__ import annotations

import numpy as np
import pytest

from trainer.data.pairs import Pairs
from trainer.least_squares.averaged_als import AveragedAls
from trainer.model.table_sizes import TableSizes
from trainer.settings import AlsSettings, ModelSettings, TrainSettings
from trainer.training import fitting, memory

pytestmark = pytest.mark.tensorflow

LEFTS, RIGHTS = 60, 40
SIZES = TableSizes(LEFTS + 1, RIGHTS + 1)  # one row without pairs
ALS = AlsSettings(copies=3)


def _pairs() -> Pairs:
    """Returns a third of all pairs of three planted factors, with noise of the same size."""
    random = np.random.default_rng(4)
    left, right = (side.astype(np.int32) for side in np.nonzero(random.random((LEFTS, RIGHTS)) < 0.4))
    p, q = (random.normal(size=(size, 3)) for size in (LEFTS, RIGHTS))
    label = 2 + np.einsum("nd,nd->n", p[left], q[right]) + 1.5 * random.normal(size=len(left))
    return Pairs(left, right, label.astype(np.float32))


@pytest.mark.parametrize("bias", [True, False])
def test_score_is_mean_of_copies(bias: bool) -> None:
    pairs = _pairs()
    solver = AveragedAls(pairs, SIZES, ModelSettings(dimension=7, bias=bias), ALS, seed=1)
    for _ in range(3):
        solver.sweep()
    of_copies = []
    for copy in solver._copies:
        (left, right), biases = copy.tables, copy.biases
        score = np.einsum("nd,nd->n", left[pairs.left], right[pairs.right]) + copy.offset
        of_copies.append(score + (biases[0][pairs.left] + biases[1][pairs.right] if biases else 0))
    assert [copy.tables[0].shape[1] for copy in solver._copies] == [3, 2, 2]
    assert not np.allclose(of_copies[1], of_copies[2], atol=0.01)  # from different starts
    rmse = np.sqrt(np.mean((np.mean(of_copies, axis=0) - pairs.label) ** 2))
    assert solver.measure(pairs)["rmse"] == pytest.approx(rmse, rel=1e-5)
    assert [table.shape for table in solver.tables] == [(LEFTS + 1, 7), (RIGHTS + 1, 7)]


def test_network_matches_solver_and_seed() -> None:
    pairs, settings = _pairs(), TrainSettings(epochs=4, optimizer="als", early_stopping=None, als=ALS)
    networks = []
    for _ in range(2):
        network, history = fitting.fit(pairs, SIZES, ModelSettings(dimension=6), settings)
        scores = network.predict_on_batch([pairs.left[:, None], pairs.right[:, None]])[:, 0]
        assert np.sqrt(np.mean((scores - pairs.label) ** 2)) == pytest.approx(history["rmse"][-1], rel=1e-5)
        networks.append(network.get_weights())
    for one, other in zip(*networks, strict=True):
        np.testing.assert_array_equal(one, other)


def test_start_from_tables_keeps_them() -> None:
    solver = AveragedAls(_pairs(), SIZES, ModelSettings(dimension=7), ALS, seed=1)
    random = np.random.default_rng(0)
    tables = [random.normal(size=(rows, 7)).astype(np.float32) for rows in (LEFTS + 1, RIGHTS + 1)]
    solver.start_from(tables)
    for mine, given in zip(solver.tables, tables, strict=True):
        np.testing.assert_allclose(mine, given, rtol=1e-6)


def test_mean_is_not_worse_than_copies() -> None:
    kept, held = _pairs().hold_out(0.2, seed=1)
    solver = AveragedAls(kept, SIZES, ModelSettings(dimension=15), ALS.replace(copies=3), seed=1)
    for _ in range(10):
        solver.sweep()
    alone = [copy.measure(held)["rmse"] for copy in solver._copies]
    # Squared error is convex, so the error of the mean cannot exceed the mean of the errors (Jensen).
    assert solver.measure(held)["loss"] <= np.mean(np.square(alone)) + 1e-6


def test_copies_need_memory_for_covariances() -> None:
    model, settings = ModelSettings(dimension=64), TrainSettings(optimizer="als")
    four = settings.replace(als=AlsSettings(copies=4))
    parts = [memory.needed(SIZES, model, each)["optimizer"] for each in (settings, four)]
    assert parts[1] == 4 * (LEFTS + RIGHTS + 2) * 17**2 * 4 < parts[0]
