"""Where features explain the planted vectors, entities without pairs rank nearly as well as entities with pairs."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse

from trainer.data.pairs import Pairs
from trainer.entity_features import ridge
from trainer.model.table_sizes import TableSizes
from trainer.settings import ModelSettings, TrainSettings
from trainer.training.alternation import solver_of

LEFT, RIGHT, EACH, SWEEPS = 400, 300, 30, 6


@pytest.fixture(scope="module")
def planted() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Positives `[n]` of left and of right entities, and the features of the right entities."""
    random = np.random.default_rng(3)
    features = (random.random((RIGHT, 12)) < 0.3).astype(np.float32)
    features[:, -1] = 1
    right = features @ random.normal(size=(12, 6)) * 0.6
    scores = random.normal(size=(LEFT, 6)) @ right.T + 0.5 * random.gumbel(size=(LEFT, RIGHT))
    best = np.argsort(-scores, axis=1)[:, :EACH]
    return np.repeat(np.arange(LEFT), EACH), best.ravel(), features


def _tables(left: np.ndarray, right: np.ndarray, objective: str) -> list[np.ndarray]:
    pairs = Pairs(left.astype(np.int32), right.astype(np.int32), np.ones(len(left), np.float32))
    model = ModelSettings(objective=objective, dimension=16, regularization=0.01)
    solver = solver_of(pairs, TableSizes(LEFT, RIGHT), model, TrainSettings(seed=1))
    for _ in range(SWEEPS):
        solver.sweep()
    return solver.tables


def _recall(left: np.ndarray, right: np.ndarray, held: np.ndarray, seen: np.ndarray) -> float:
    """Returns the mean share of held-out positives, bool `[left, c]`, among as many of the best unseen candidates."""
    scores = np.where(seen, -np.inf, left @ right.T)
    found = [row[np.argsort(-score)[: row.sum()]].mean() for score, row in zip(scores, held, strict=True) if row.any()]
    return float(np.mean(found))


@pytest.mark.parametrize("objective", ["ials", "spectral", "blend"])
def test_cold_entities_rank_at_four_fifths_of_warm_ones(
    planted: tuple[np.ndarray, np.ndarray, np.ndarray], objective: str
) -> None:
    left, right, features = planted
    random = np.random.default_rng(5)
    cold = np.sort(random.permutation(RIGHT)[:60])
    is_cold = np.isin(right, cold)
    # Half of the positives of the entities in question are held out. Only the warm model sees the others.
    held = is_cold & (random.random(len(left)) < 0.5)
    positives = np.zeros((2, LEFT, RIGHT), bool)
    positives[0, left[held], right[held]] = True
    positives[1, left[is_cold & ~held], right[is_cold & ~held]] = True
    relevant, seen = positives[:, :, cold]
    of_warm, warm = _tables(left[~held], right[~held], objective)
    of_cold, table = _tables(left[~is_cold], right[~is_cold], objective)
    counts = np.bincount(right[~is_cold], minlength=RIGHT)
    trained = np.flatnonzero(counts)
    matrix = scipy.sparse.csr_matrix(features)
    found = ridge.fit(matrix[trained], table[trained], counts[trained], seed=1)
    of_features = _recall(of_cold, features[cold] @ found.weights, relevant, seen)
    of_pairs = _recall(of_warm, warm[cold], relevant, seen)
    by_chance = _recall(of_warm, random.normal(size=(60, 16)), relevant, seen)
    assert of_features >= 0.8 * of_pairs
    assert of_pairs > 2 * by_chance
