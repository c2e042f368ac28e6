"""The prior mean that is learned from which pairs are there."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse

from trainer.data.pairs import Pairs
from trainer.least_squares.implicit_prior import ImplicitPrior
from trainer.least_squares.variational_als import VariationalAls
from trainer.model.table_sizes import TableSizes
from trainer.settings import AlsSettings, ModelSettings

WIDTH = 3


def test_fit_is_ridge_regression_on_partners() -> None:
    random = np.random.default_rng(1)
    partners = random.random((30, 12)) < 0.3
    partners[4], partners[:, 7] = False, False  # an entity and a partner without pairs
    rows = random.normal(size=(30, WIDTH))
    prior = ImplicitPrior(scipy.sparse.csr_matrix(partners * 2.5), WIDTH, ridge=2.0)
    for _ in range(20):
        prior.fit(rows)
    shares = partners / np.sqrt(np.maximum(partners.sum(axis=1, keepdims=True), 1))
    vectors = np.linalg.solve(shares.T @ shares + 2 * np.eye(12), shares.T @ rows)
    np.testing.assert_allclose(prior.vectors, vectors, atol=1e-5)
    np.testing.assert_allclose(prior.means, shares @ vectors, atol=1e-5)
    assert not prior.means[4].any() and not prior.vectors[7].any()


def _rmse(pairs: Pairs, test: Pairs, sizes: TableSizes, implicit: float | None) -> float:
    model = ModelSettings(dimension=WIDTH)
    solver = VariationalAls(pairs, sizes, model, AlsSettings(implicit=implicit), seed=1)
    for _ in range(20):
        solver.sweep()
    return solver.measure(test)["rmse"]


@pytest.mark.parametrize("informative", [True, False])
def test_partners_help_where_they_predict_labels(informative: bool) -> None:
    """Lefts choose rights that they like, or any. Then the prior lowers the error, or does not raise it much."""
    random = np.random.default_rng(2)
    lefts, rights = 400, 60
    p, q = random.normal(size=(lefts, 2)), random.normal(size=(rights, 2))
    liked = p @ q.T
    chosen = random.random((lefts, rights)) < 0.15 / (1 + np.exp(-3 * liked * informative)) / 0.5
    left, right = (side.astype(np.int32) for side in np.nonzero(chosen))
    label = (liked[left, right] + random.normal(size=len(left))).astype(np.float32)
    pairs, test = Pairs(left, right, label).hold_out(0.2, seed=1)
    without, found = (_rmse(pairs, test, TableSizes(lefts, rights), implicit) for implicit in (None, 2.0))
    assert found < without * (0.97 if informative else 1.02)
