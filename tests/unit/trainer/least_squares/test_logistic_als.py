"""Least squares of log odds: against direct sums, against penalized logistic regression, and on planted log odds."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.optimize

from trainer.data.pairs import Pairs
from trainer.least_squares.averaged_als import AveragedAls
from trainer.least_squares.logistic_als import LogisticAls
from trainer.model.table_sizes import TableSizes
from trainer.settings import AlsSettings, ModelSettings, TrainSettings
from trainer.training import fitting

LEFTS, RIGHTS = 60, 40
SIZES = TableSizes(LEFTS + 1, RIGHTS + 1)  # one row without pairs
ALS = AlsSettings()
MODEL = ModelSettings(objective="logistic", dimension=3)


def _planted(rows: int = 4_000, weight: float | None = None) -> tuple[Pairs, np.ndarray]:
    """Returns pairs, some of them several times, and the log odds of a positive label."""
    random = np.random.default_rng(7)
    left, right = random.integers(0, LEFTS, rows), random.integers(0, RIGHTS, rows)
    p, q, b, c = (random.normal(size=size) for size in ((LEFTS, 2), (RIGHTS, 2), LEFTS, RIGHTS))
    odds = np.einsum("nd,nd->n", p[left], q[right]) + b[left] + c[right] - 0.7
    label = np.where(random.random(rows) < 1 / (1 + np.exp(-odds)), 0.4, -0.6).astype(np.float32)
    weights = None if weight is None else np.full(rows, weight, np.float32)
    return Pairs(left.astype(np.int32), right.astype(np.int32), label, weights), odds


def _solved(pairs: Pairs, model: ModelSettings = MODEL, als: AlsSettings = ALS, sweeps: int = 10) -> LogisticAls:
    solver = LogisticAls(pairs, SIZES, model, als, seed=1)
    for _ in range(sweeps):
        solver.sweep()
    return solver


def _scores(solver: LogisticAls | AveragedAls, pairs: Pairs) -> np.ndarray:
    (left, right), biases = solver.tables, solver.biases
    scores = np.einsum("nd,nd->n", left[pairs.left], right[pairs.right]) + solver.offset
    return scores + biases[0][pairs.left] + biases[1][pairs.right] if biases else scores


def _log_loss(odds: np.ndarray, label: np.ndarray) -> float:
    return float(np.mean(np.logaddexp(0, np.where(label > 0, -odds, odds))))


@pytest.mark.parametrize("bias", [True, False])
def test_second_moments_are_direct_sums(bias: bool) -> None:
    pairs, _ = _planted(300)
    solver = _solved(pairs, MODEL.replace(bias=bias), sweeps=2)
    means, squares = solver._moments_of_pairs()
    left, right = solver._sides
    cells = left.weights.tocoo()
    for number in range(0, len(means), 17):
        one, other = int(cells.row[number]), int(cells.col[number])
        x, z = left.mean[one], right.mean[other]
        draws = np.random.default_rng(number)
        many = [
            draws.multivariate_normal(mean, covariance.astype(np.float64), 100_000)
            for mean, covariance in ((x, left.covariance[one]), (z, right.covariance[other]))
        ]
        d = MODEL.dimension
        scores = np.einsum("nd,nd->n", many[0][:, :d], many[1][:, :d])
        if bias:
            scores += many[0][:, d] + many[1][:, d]
        error = scores.std() / len(scores) ** 0.5
        assert means[number] == pytest.approx(scores.mean(), abs=5 * error + 1e-4)
        assert squares[number] == pytest.approx(np.mean(scores**2), rel=0.05)


def test_certain_rows_are_those_of_logistic_regression() -> None:
    """With heavy weights, nothing is uncertain. Then each row is the penalized maximum of the likelihood."""
    weight = 300.0
    pairs, _ = _planted(weight=weight)
    solver = _solved(pairs, als=AlsSettings(implicit=None), sweeps=1)
    # Sweeps of one side only, with the other one fixed.
    for _ in range(60):
        solver._tighten()
        solver._solve(solver._sides[0], solver._sides[1])
        prior = solver._sides[0].prior.copy()
    right = solver._sides[1].mean
    for entity in (0, 7, 23):
        mine = pairs.left == entity
        design = np.concatenate([right[pairs.right[mine], :3], np.ones((mine.sum(), 1))], axis=1)
        fixed, sign = solver.offset + right[pairs.right[mine], 3], np.where(pairs.label[mine] > 0, 1, -1)

        def loss(row: np.ndarray) -> float:
            losses = np.logaddexp(0, -sign * (design @ row + fixed))  # noqa: B023
            return float(weight * losses.sum() + 0.5 * np.sum(row**2 / prior))

        expected = scipy.optimize.minimize(loss, np.zeros(4), method="BFGS").x
        np.testing.assert_allclose(solver._sides[0].mean[entity], expected, rtol=0.02, atol=0.02)


def test_planted_log_odds_are_found() -> None:
    pairs, odds = _planted(20_000)
    kept, held = pairs.take(slice(0, 16_000)), pairs.take(slice(16_000, None))
    found = _scores(_solved(kept, sweeps=16), held)
    true, constant = (_log_loss(given, held.label) for given in (odds[16_000:], np.full(len(held), np.log(0.4 / 0.6))))
    assert _log_loss(found, held.label) < true + 0.15 * (constant - true)
    assert np.corrcoef(found, odds[16_000:])[0, 1] > 0.95


def test_rare_labels_and_rows_without_pairs() -> None:
    pairs, _ = _planted(200)
    label = np.where(np.arange(200) == 0, 1, -1).astype(np.float32)
    solver = _solved(Pairs(pairs.left, pairs.right, label), sweeps=5)
    assert all(np.isfinite(array).all() for array in solver.state)
    assert np.mean(_scores(solver, pairs)) < -2
    assert not solver.tables[0][LEFTS].any() and not solver.tables[1][RIGHTS].any()


def test_copies_average_log_odds_and_network_matches() -> None:
    pairs, _ = _planted()
    settings = TrainSettings(epochs=4, optimizer="als", early_stopping=None, als=AlsSettings(copies=2))
    network, history = fitting.fit(pairs, SIZES, MODEL.replace(dimension=6), settings)
    scores = network.predict_on_batch([pairs.left[:, None], pairs.right[:, None]])[:, 0]
    assert _log_loss(scores, pairs.label) == pytest.approx(history["loss"][-1], rel=1e-4)
    solver = AveragedAls(pairs, SIZES, MODEL.replace(dimension=6), settings.als, settings.seed)
    for _ in range(4):
        solver.sweep()
    of_copies = [_scores(copy, pairs) for copy in solver._copies]  # type: ignore[arg-type]
    np.testing.assert_allclose(_scores(solver, pairs), np.mean(of_copies, axis=0), atol=1e-4)
    np.testing.assert_allclose(scores, np.mean(of_copies, axis=0), atol=1e-4)


def test_interrupted_sweeps_continue() -> None:
    """The state determines the next sweep."""
    pairs, _ = _planted(500)
    whole, first, second = _solved(pairs, sweeps=4), _solved(pairs, sweeps=2), _solved(pairs, sweeps=0)
    for mine, given in zip(second.state, first.state, strict=True):
        mine[...] = given
    for _ in range(2):
        second.sweep()
    for one, other in zip(whole.tables, second.tables, strict=True):
        np.testing.assert_array_equal(one, other)
