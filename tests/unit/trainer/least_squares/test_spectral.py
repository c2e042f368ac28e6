"""Spectral: the tables are the truncated SVD of the pairs divided by popularity."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from trainer.data.pairs import Pairs
from trainer.least_squares.spectral import Spectral
from trainer.model.table_sizes import TableSizes
from trainer.settings import AlsSettings, ModelSettings

SIZES = TableSizes(60, 45)


def _pairs(seed: int = 1, weighted: bool = False) -> Pairs:
    """Returns a third of all pairs. The last entity of each side has none."""
    random = np.random.default_rng(seed)
    left, right = np.nonzero(random.random((59, 44)) < np.linspace(0.6, 0.05, 44))
    weight = random.uniform(0.5, 2, len(left)).astype(np.float32) if weighted else None
    return Pairs(left.astype(np.int32), right.astype(np.int32), np.ones(len(left), np.float32), weight)


def _solved(pairs: Pairs, sweeps: int = 40, **model: float) -> tuple[Spectral, list[dict[str, float]]]:
    settings = ModelSettings.model_validate({"objective": "spectral", "dimension": 6, **model})
    solver = Spectral(pairs, SIZES, settings, AlsSettings(), 1)
    return solver, [solver.sweep() for _ in range(sweeps)]


def _dense(pairs: Pairs) -> np.ndarray:
    dense = np.zeros((SIZES.left, SIZES.right))
    np.add.at(dense, (pairs.left, pairs.right), 1 if pairs.weight is None else pairs.weight)
    return dense


@pytest.mark.parametrize("exponent", [0.0, 0.3, 0.5])
@pytest.mark.parametrize("weighted", [False, True])
def test_scores_are_those_of_the_truncated_svd(exponent: float, weighted: bool) -> None:
    pairs = _pairs(weighted=weighted)
    dense = _dense(pairs)
    left, right = (np.maximum(dense.sum(axis=axis), 1e-12) ** exponent for axis in (1, 0))
    u, s, v = np.linalg.svd(dense / np.outer(left, right))
    expected = np.outer(left, right) * ((u[:, :6] * s[:6]) @ v[:6])
    solver, losses = _solved(pairs, popularity_exponent=exponent)
    np.testing.assert_allclose(solver.tables[0] @ solver.tables[1].T, expected, atol=2e-4 * expected.max())
    assert losses[-1]["loss"] == pytest.approx(1 - (s[:6] ** 2).sum() / (s**2).sum(), abs=1e-5)


def test_first_columns_are_the_narrower_solution() -> None:
    wide, _ = _solved(_pairs(), dimension=8)
    narrow, _ = _solved(_pairs(), dimension=3)
    scores = [left[:, :3] @ right[:, :3].T for left, right in (wide.tables, narrow.tables)]
    np.testing.assert_allclose(scores[0], scores[1], atol=1e-4)


def test_loss_falls_with_each_sweep() -> None:
    _, losses = _solved(_pairs(), sweeps=6)
    values = [loss["loss"] for loss in losses]
    assert all(later <= earlier + 1e-6 for earlier, later in itertools.pairwise(values))


def test_entities_without_pairs_have_empty_rows() -> None:
    solver, _ = _solved(_pairs())
    assert not solver.tables[0][-1].any() and not solver.tables[1][-1].any()


def test_more_dimensions_than_entities_are_empty() -> None:
    solver, _ = _solved(_pairs(), dimension=64)
    assert np.isfinite(solver.tables[0]).all()
    np.testing.assert_allclose(solver.tables[0] @ solver.tables[1].T, _dense(_pairs()), atol=1e-3)


def test_state_determines_the_next_sweep() -> None:
    one, _ = _solved(_pairs(), sweeps=2)
    other, _ = _solved(_pairs(seed=1), sweeps=0)
    for mine, given in zip(other.state, one.state, strict=True):
        mine[...] = given
    assert other.sweep() == one.sweep()
    np.testing.assert_array_equal(one.tables[0], other.tables[0])


def test_measure_is_the_mean_squared_error_of_positives() -> None:
    pairs = _pairs(weighted=True)
    solver, _ = _solved(pairs, sweeps=2)
    scores = (solver.tables[0] @ solver.tables[1].T)[pairs.left, pairs.right]
    assert pairs.weight is not None
    expected = float((pairs.weight * (1 - scores) ** 2).sum() / pairs.weight.sum())
    assert solver.measure(pairs)["loss"] == pytest.approx(expected, rel=1e-5)
