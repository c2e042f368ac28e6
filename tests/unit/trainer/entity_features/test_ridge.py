"""The map from features to vectors, against the closed form, and its choice of a penalty."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse

from trainer.entity_features import ridge


def _planted(noise: float, seed: int = 0) -> tuple[scipy.sparse.csr_matrix, np.ndarray, np.ndarray, np.ndarray]:
    """Returns features, targets, numbers of pairs and the true weights."""
    random = np.random.default_rng(seed)
    features = (random.random((400, 30)) < 0.2).astype(np.float32)
    features[:, -1] = 1
    weights = random.standard_normal((30, 5))
    targets = features @ weights + noise * random.standard_normal((400, 5))
    return scipy.sparse.csr_matrix(features), targets, random.integers(1, 50, 400), weights


def _closed_form(features: np.ndarray, targets: np.ndarray, pairs: np.ndarray, penalty: float) -> np.ndarray:
    """Solves the normal equations of the weighted rows, with the mean left out and put back."""
    weight = pairs / (pairs + 5)
    mean = (weight[:, None] * targets).sum(axis=0) / weight.sum()
    root = np.sqrt(weight)[:, None]
    wide = np.concatenate([root * features, np.sqrt(penalty) * np.eye(features.shape[1])])
    high = np.concatenate([root * (targets - mean), np.zeros((features.shape[1], targets.shape[1]))])
    solution = np.linalg.lstsq(wide, high, rcond=None)[0]
    solution[-1] += mean
    return solution


@pytest.mark.parametrize("direct", [ridge._DIRECT, 0], ids=["direct", "by gradients"])
def test_the_map_is_the_closed_form_of_its_penalty(monkeypatch: pytest.MonkeyPatch, direct: int) -> None:
    monkeypatch.setattr(ridge, "_DIRECT", direct)
    features, targets, pairs, _ = _planted(noise=1.0)
    found = ridge.fit(features, targets, pairs, seed=1)
    expected = _closed_form(features.toarray(), targets, pairs, found.penalty)
    np.testing.assert_allclose(found.weights, expected, atol=2e-4)


def test_exact_features_explain_everything_with_the_least_penalty() -> None:
    features, targets, pairs, weights = _planted(noise=0.0)
    found = ridge.fit(features, targets, pairs, seed=1)
    assert found.penalty == min(ridge.PENALTIES)
    assert found.explained > 0.999
    np.testing.assert_allclose(features @ found.weights, features @ weights, atol=0.3)


def test_features_without_information_get_the_mean() -> None:
    random = np.random.default_rng(2)
    features, _, pairs, _ = _planted(noise=0.0)
    targets = 3 + random.standard_normal((400, 5))
    found = ridge.fit(features, targets, pairs, seed=1)
    assert found.penalty >= 100
    assert abs(found.explained) < 0.1
    np.testing.assert_allclose(features @ found.weights, np.full((400, 5), 3.0), atol=0.4)


@pytest.mark.parametrize("count", [0, 1, 2])
def test_few_entities_are_enough(count: int) -> None:
    features, targets, pairs, _ = _planted(noise=0.0)
    found = ridge.fit(features[:count], targets[:count], pairs[:count], seed=1)
    assert found.weights.shape == (30, 5)
    assert np.isfinite(found.weights).all()
