"""Principal components and neighbors, against plain NumPy and scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.decomposition import PCA

from pipeline.report.projection import nearest, project


def _vectors(count: int = 200, width: int = 16) -> np.ndarray:
    draw = np.random.default_rng(3)
    return (draw.normal(size=(count, width)) * np.linspace(3, 0.1, width) + 5).astype(np.float32)


def test_projection_matches_scikit_learn() -> None:
    vectors = _vectors()
    plane, oracle = project(vectors), PCA(2, svd_solver="full").fit(vectors.astype(np.float64))
    expected = oracle.transform(vectors.astype(np.float64))
    signs = np.sign((plane.places * expected).sum(axis=0))
    assert np.allclose(plane.places, expected * signs, atol=1e-6)
    assert np.allclose(plane.shares, oracle.explained_variance_ratio_)


def test_axis_direction_is_reproducible() -> None:
    vectors = _vectors()
    assert np.array_equal(project(vectors).places, project(vectors.copy()).places)
    # The rule fixes the direction of the axis, not of the points.
    assert np.allclose(project(-vectors).places, -project(vectors).places, atol=1e-9)


def test_planted_plane_is_recovered() -> None:
    flat = np.random.default_rng(1).normal(size=(50, 2))
    axes, _ = np.linalg.qr(np.random.default_rng(2).normal(size=(8, 2)))
    plane = project(flat @ axes.T)
    assert sum(plane.shares) == pytest.approx(1)
    distances = np.linalg.norm(plane.places[:, None] - plane.places[None], axis=2)
    assert np.allclose(distances, np.linalg.norm(flat[:, None] - flat[None], axis=2), atol=1e-6)


@pytest.mark.parametrize("shape", [(1, 4), (5, 1), (3, 2), (4, 4)])
def test_few_points_are_projected(shape: tuple[int, int]) -> None:
    plane = project(np.ones(shape, np.float32))
    assert plane.places.shape == (shape[0], 2)
    assert np.all(plane.places == 0) and plane.shares == (0.0, 0.0)


def test_neighbors_by_cosine_exclude_query() -> None:
    vectors = _vectors(40, 5)
    vectors[7] = 0  # an untrained row
    units = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    cosines = units.astype(np.float64) @ units.T.astype(np.float64)
    np.fill_diagonal(cosines, -np.inf)
    queries = np.array([0, 7, 39])
    rows, found = nearest(vectors, queries, 4)
    for query, own, values in zip(queries, rows, found, strict=True):
        assert query not in own
        assert np.allclose(np.sort(cosines[query])[::-1][:4], values, atol=1e-6)


def test_missing_neighbors_are_marked() -> None:
    rows, _ = nearest(_vectors(2, 3), np.array([0, 1]), 5)
    assert rows.tolist() == [[1, -1], [0, -1]]
