"""Alternating least squares, compared with the normal equations of each row, and on planted data."""

from __future__ import annotations

import dataclasses
import itertools
from pathlib import Path

import numpy as np
import pytest

from errors import PairsTooMany, TrainingTooLarge
from trainer.data.pairs import Pairs
from trainer.data.sharded_pairs import collect
from trainer.least_squares import implicit_als
from trainer.least_squares.implicit_als import ImplicitAls
from trainer.least_squares.interactions import Interactions
from trainer.least_squares.variational_als import VariationalAls
from trainer.model.network import GLOBAL_BIAS, LEFT_BIAS, LEFT_VECTORS, RIGHT_BIAS, RIGHT_VECTORS
from trainer.model.table_sizes import TableSizes
from trainer.settings import AlsSettings, EarlyStoppingSettings, ModelSettings, TrainSettings
from trainer.training import fitting

pytestmark = pytest.mark.tensorflow

LEFTS, RIGHTS, D = 30, 20, 3
SIZES = TableSizes(LEFTS + 1, RIGHTS + 2)  # rows without pairs
SETTINGS = TrainSettings(epochs=12, optimizer="als", early_stopping=None, seed=5)


def _pairs(weighted: bool, positives: bool = False, share: float = 1 / 3) -> Pairs:
    """Returns some of all pairs, with planted labels and noise 0.1, or with ones."""
    random = np.random.default_rng(1)
    left, right = (side.astype(np.int32) for side in np.nonzero(random.random((LEFTS, RIGHTS)) < share))
    p, q, b, c = (random.normal(size=shape) for shape in ((LEFTS, 2), (RIGHTS, 2), LEFTS, RIGHTS))
    label = 1.5 + np.einsum("nd,nd->n", p[left], q[right]) + b[left] + c[right] + 0.1 * random.normal(size=len(left))
    weight = (random.integers(1, 4, len(left)) / 2).astype(np.float32) if weighted else None
    return Pairs(left, right, np.ones(len(left), np.float32) if positives else label.astype(np.float32), weight)


def _rows(pairs: Pairs, own: np.ndarray, entity: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns the partners of an entity, and their weights."""
    rows = np.flatnonzero(own == entity)
    return rows, np.ones(len(rows)) if pairs.weight is None else pairs.weight[rows].astype(float)


IALS = ModelSettings(dimension=D, objective="ials", regularization=0.05, unobserved_weight=0.3)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("exponent", [1.0, 0.5])
@pytest.mark.parametrize("d", [3, 7, 40])
def test_ials_solves_normal_equations(monkeypatch: pytest.MonkeyPatch, weighted: bool, exponent: float, d: int) -> None:
    """Most entities have more pairs than 3, about half have more than 7, and none have more than 40."""
    monkeypatch.setattr(implicit_als, "BLOCK_NUMBERS", 4 * d)  # sums the pairs of an entity in parts
    pairs = _pairs(weighted, positives=True)
    model = IALS.replace(dimension=d)
    solver = ImplicitAls(pairs, SIZES, model, AlsSettings(frequency_exponent=exponent), seed=2)
    before = solver.tables[1].astype(float)
    solver._solve(0)
    gramian = sum(np.outer(q, q) for q in before)
    frequency = np.array([_rows(pairs, pairs.left, i)[1].sum() + 0.3 * len(set(pairs.right)) for i in range(LEFTS)])
    penalty = 0.05 * frequency**exponent * frequency.sum() / (frequency**exponent).sum()
    for i in range(LEFTS):
        normal, target = 0.3 * gramian + penalty[i] * np.eye(d), np.zeros(d)
        for row, weight in zip(*_rows(pairs, pairs.left, i), strict=True):
            normal += weight * np.outer(before[pairs.right[row]], before[pairs.right[row]])
            target += weight * before[pairs.right[row]]
        np.testing.assert_allclose(solver.tables[0][i], np.linalg.solve(normal, target), rtol=1e-3, atol=1e-5)
    assert not solver.tables[0][LEFTS:].any()


def test_ials_systems_are_as_small_as_possible(monkeypatch: pytest.MonkeyPatch) -> None:
    solve, sizes = np.linalg.solve, []

    def recorded(systems: np.ndarray, targets: np.ndarray) -> np.ndarray:
        sizes.extend([systems.shape[1]] * len(systems))
        return solve(systems, targets)

    pairs = _pairs(weighted=False, positives=True)
    solver = ImplicitAls(pairs, SIZES, IALS.replace(dimension=7), AlsSettings(), seed=2)
    monkeypatch.setattr(np.linalg, "solve", recorded)
    solver._solve(0)
    counts = np.sort(np.bincount(pairs.left))
    assert len(sizes) == np.count_nonzero(counts) and max(sizes) == 7
    # A block is padded to its largest entity, which has at most 1 / 0.7 of the pairs of the others.
    assert (np.sort(sizes) <= np.minimum(counts[counts > 0] / 0.7, 7)).all()


def test_ials_without_regularization_is_finite() -> None:
    """With more numbers than entities, the Gramian has no inverse."""
    pairs = _pairs(weighted=False, positives=True)
    solver = ImplicitAls(pairs, SIZES, IALS.replace(dimension=40, regularization=0), AlsSettings(), seed=2)
    losses = [solver.sweep()["loss"] for _ in range(4)]
    assert all(np.isfinite(table).all() for table in solver.tables)
    assert all(after <= before * (1 + 1e-6) for before, after in itertools.pairwise(losses))


def _ials_objective(tables: list[np.ndarray], pairs: Pairs, penalties: list[np.ndarray]) -> float:
    """Returns the complete loss, cell by cell of the matrix of all pairs."""
    scores = tables[0].astype(float) @ tables[1].T.astype(float)
    weight = np.ones(len(pairs)) if pairs.weight is None else pairs.weight
    seen = float((weight * (1 - scores[pairs.left, pairs.right]) ** 2).sum())
    decay = sum(float((lam * (table**2).sum(axis=1)).sum()) for lam, table in zip(penalties, tables, strict=True))
    return seen + 0.3 * float((scores**2).sum()) + decay


@pytest.mark.parametrize("d", [3, 7, 40])
def test_ials_loss_covers_all_cells_and_decreases(d: int) -> None:
    pairs = _pairs(weighted=True, positives=True)
    solver = ImplicitAls(pairs, SIZES, IALS.replace(dimension=d), AlsSettings(), seed=2)
    penalties = [
        solver._penalties(side, int((other.counts > 0).sum())) for side, other in (solver._sides, solver._sides[::-1])
    ]
    losses = [_ials_objective(solver.tables, pairs, penalties)]
    for _ in range(6):
        for own in (0, 1):
            solver._solve(own)
            losses.append(_ials_objective(solver.tables, pairs, penalties))
    assert all(after <= before * (1 + 1e-6) for before, after in itertools.pairwise(losses))
    assert losses[-1] < losses[0] / 1.5
    without = _ials_objective(solver.tables, pairs, [np.zeros(SIZES.left), np.zeros(SIZES.right)])
    assert solver.measure(pairs)["loss"] == pytest.approx(without / pairs.weight.sum(), rel=1e-4)
    assert solver.sweep()["loss"] == pytest.approx(solver.measure(pairs)["loss"], rel=1e-3)


REGRESSION = ModelSettings(dimension=D, bias=True)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("implicit", [None, 2.0])
def test_posterior_solves_normal_equations(weighted: bool, bias: bool, implicit: float | None) -> None:
    pairs = _pairs(weighted)
    solver = VariationalAls(pairs, SIZES, REGRESSION.replace(bias=bias), AlsSettings(implicit=implicit), seed=2)
    solver.sweep()
    left, right = solver._sides
    center = np.broadcast_to(left.center, left.mean.shape).copy()
    assert center.any() == (implicit is not None)
    noise, prior = float(solver._noise), left.prior.copy()
    mean, covariance = right.mean.copy(), right.covariance.astype(float).copy()
    solver._solve(left, right)
    for i in range(LEFTS):
        precision, first = np.diag(1 / prior), center[i] / prior
        for row, weight in zip(*_rows(pairs, pairs.left, i), strict=True):
            j = pairs.right[row]
            z, spread = np.ones(D + bias), np.zeros((D + bias, D + bias))
            z[:D], spread[:D, :D] = mean[j, :D], covariance[j, :D, :D]
            precision += weight * (np.outer(z, z) + spread) / noise
            residual = (pairs.label[row] - solver.offset) / solver._unit
            if bias:
                first[:D] -= weight * covariance[j, :D, D] / noise
                residual -= mean[j, D]
            first += weight * residual * z / noise
        np.testing.assert_allclose(left.covariance[i], np.linalg.inv(precision), rtol=1e-3, atol=1e-6)
        np.testing.assert_allclose(left.mean[i], np.linalg.solve(precision, first), rtol=1e-3, atol=1e-5)


def test_expected_error_matches_posterior_samples() -> None:
    pairs = _pairs(weighted=True)
    solver = VariationalAls(pairs, SIZES, REGRESSION, AlsSettings(), seed=2)
    solver.sweep()
    left, right = solver._sides
    expected = solver._solve(right, left) / pairs.weight.sum()
    random, errors = np.random.default_rng(0), []
    factors = [np.linalg.cholesky(side.covariance.astype(float)) for side in (left, right)]
    for _ in range(3000):
        x, y = (
            side.mean + np.einsum("nij,nj->ni", factor, random.normal(size=side.mean.shape))
            for side, factor in zip((left, right), factors, strict=True)
        )
        score = np.einsum("nd,nd->n", x[pairs.left, :D], y[pairs.right, :D]) + x[pairs.left, D] + y[pairs.right, D]
        label = (pairs.label - solver.offset) / solver._unit
        errors.append(pairs.weight @ (label - score) ** 2 / pairs.weight.sum())
    assert expected == pytest.approx(np.mean(errors), rel=0.02)


@pytest.mark.parametrize("scale", [1e-6, 1e6])
def test_solution_does_not_depend_on_the_unit_of_labels(scale: float) -> None:
    pairs, found = _pairs(weighted=True), []
    for unit in (1.0, scale):
        scaled = dataclasses.replace(pairs, label=pairs.label * np.float32(unit))
        solver = VariationalAls(scaled, SIZES, REGRESSION, AlsSettings(), seed=2)
        for _ in range(5):
            solver.sweep()
        (left, right), (b, c) = solver.tables, solver.biases or []
        score = np.einsum("nd,nd->n", left[pairs.left], right[pairs.right]) + b[pairs.left] + c[pairs.right]
        found.append((score + solver.offset) / unit)
        loss = np.average((score + solver.offset - scaled.label) ** 2, weights=pairs.weight)
        assert solver.measure(scaled)["loss"] == pytest.approx(loss, rel=1e-4)
        start = [table.copy() for table in solver.tables]
        solver.start_from(start)
        np.testing.assert_allclose(solver.tables[0], start[0], rtol=1e-6)
    np.testing.assert_allclose(found[0], found[1], rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("objective", ["regression", "ials"])
def test_weight_equals_repeated_rows(objective: str) -> None:
    pairs = _pairs(weighted=False, positives=objective == "ials")
    times = np.random.default_rng(3).integers(1, 4, len(pairs))
    repeated = pairs.take(np.repeat(np.arange(len(pairs)), times))
    weighted = dataclasses.replace(pairs, weight=times.astype(np.float32))
    model = IALS if objective == "ials" else REGRESSION
    networks = [fitting.fit(some, SIZES, model, SETTINGS)[0] for some in (repeated, weighted)]
    for name in (LEFT_VECTORS, RIGHT_VECTORS) if objective == "ials" else (LEFT_BIAS, RIGHT_BIAS, GLOBAL_BIAS):
        one, other = (network.get_layer(name).get_weights()[0] for network in networks)
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-3, err_msg=name)


@pytest.mark.parametrize("ridge", [None, 0.05])
def test_planted_labels_are_recovered(ridge: float | None) -> None:
    kept, held = _pairs(weighted=False, share=0.9).hold_out(0.15, seed=1)
    settings = SETTINGS.replace(epochs=40, als=AlsSettings(ridge=ridge))
    network, history = fitting.fit(kept, SIZES, REGRESSION.replace(dimension=2), settings)
    scores = network.predict_on_batch([held.left[:, None], held.right[:, None]])[:, 0]
    assert np.sqrt(((scores - held.label) ** 2).mean()) < 0.2 < held.label.std() / 4
    assert history["rmse"][-1] < 0.15
    tables = {layer.name: layer.get_weights()[0] for layer in network.layers if layer.weights}
    assert set(tables) == {LEFT_VECTORS, RIGHT_VECTORS, LEFT_BIAS, RIGHT_BIAS, GLOBAL_BIAS}
    assert not tables[RIGHT_VECTORS][RIGHTS:].any() and not tables[RIGHT_BIAS][RIGHTS:].any()


def test_ials_recovers_groups_and_sign() -> None:
    same = np.equal.outer(np.arange(60) % 4, np.arange(40) % 4)
    left, right = (side.astype(np.int32) for side in np.nonzero(same))
    seen = np.random.default_rng(1).random(len(left)) < 0.6
    pairs = Pairs(left[seen], right[seen], np.ones(seen.sum(), np.float32))
    network, _ = fitting.fit(pairs, TableSizes(61, 41), IALS.replace(dimension=4), SETTINGS)
    grid = [side.ravel()[:, None] for side in np.indices(same.shape)]
    scores = network.predict_on_batch(grid).reshape(same.shape)
    unseen = same.copy()
    unseen[pairs.left, pairs.right] = False
    assert (scores[unseen] > 0).mean() > 0.85 and (scores[~same] < 0).mean() > 0.99


@pytest.mark.parametrize("objective", ["regression", "ials"])
def test_resumed_alternation_gives_same_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, objective: str) -> None:
    pairs = _pairs(weighted=False, positives=objective == "ials")
    model = IALS if objective == "ials" else REGRESSION
    settings = SETTINGS.replace(early_stopping=EarlyStoppingSettings(validation_fraction=0.1, patience=12))

    def fit(place: Path) -> tuple[list[np.ndarray], fitting.History]:
        network, history = fitting.fit(pairs, SIZES, model, settings, fitting.TrainingFolders(epochs=str(place)))
        return network.get_weights(), history

    whole, history = fit(tmp_path / "whole")
    sweeps = iter(range(5))
    kind = ImplicitAls if objective == "ials" else VariationalAls
    sweep = kind.sweep
    with monkeypatch.context() as patched:
        patched.setattr(kind, "sweep", lambda self: next(sweeps, None) is not None and sweep(self))
        with pytest.raises(TypeError):  # fails at the end of `sweeps`, like a kill
            fit(tmp_path / "killed")
    resumed, resumed_history = fit(tmp_path / "killed")
    assert resumed_history == history and len(history["val_loss"]) == 12
    for one, other in zip(whole, resumed, strict=True):
        np.testing.assert_array_equal(one, other)


def test_blocks_have_every_pair_once(monkeypatch: pytest.MonkeyPatch) -> None:
    pairs = _pairs(weighted=True)
    side = Interactions.of(pairs.left, pairs.right, pairs.weight, (SIZES.left, SIZES.right))
    found = np.zeros((SIZES.left, SIZES.right), np.float32)
    entities = []
    for block in side.blocks(64):
        entities += block.entities.tolist()
        for entity, others, weights in zip(block.entities, block.others, block.weight, strict=True):
            np.add.at(found[entity], others, weights)
    expected = np.zeros_like(found)
    np.add.at(expected, (pairs.left, pairs.right), pairs.weight)
    np.testing.assert_array_equal(found, expected)
    assert sorted(entities) == sorted(set(pairs.left.tolist()))


def test_pairs_on_disk_are_refused(tmp_path: Path) -> None:
    pairs = _pairs(weighted=True)
    sharded = collect(iter([pairs]), 100, str(tmp_path))
    with pytest.raises(PairsTooMany, match=r"Raise it, or choose train\.optimizer: adagrad") as refused:
        fitting.fit(sharded, SIZES, REGRESSION, SETTINGS)
    assert refused.value.exit_code == 2


def test_too_large_covariances_are_refused() -> None:
    with pytest.raises(TrainingTooLarge, match=r"optimizer 16,9\d\d\.\d GB"):  # 1,000,001,000 rows of 65^2 floats
        fitting.fit(_pairs(False), TableSizes(10**9, 1000), ModelSettings(dimension=64), SETTINGS)
