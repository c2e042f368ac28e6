"""Blocks of similar rows: their bounds, their means, and how many of them hold the best rows."""

from __future__ import annotations

import numpy as np
import pytest

from trainer.index.best import best_rows
from trainer.index.blocks import LARGEST, Blocks, partition
from trainer.index.calibration import Described, calibrate, exact_from
from trainer.index.centers import Candidates
from trainer.index.kmeans import _closest_of_many


def _rows(count: int, dimension: int = 6, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, dimension)).astype(np.float32)


@pytest.mark.parametrize("count", [0, 1, 2, 63, 64, 65, 1000, 5001])
@pytest.mark.parametrize("kind", ["different", "equal", "zero"])
def test_every_row_is_in_one_block(count: int, kind: str) -> None:
    vectors = {"different": _rows(count), "equal": np.ones((count, 6), np.float32)}.get(
        kind, np.zeros((count, 6), np.float32)
    )
    parts = partition(vectors, np.arange(count, dtype=np.float32) % 3)
    blocks = parts.blocks
    assert np.sort(blocks.order).tolist() == list(range(count))
    assert blocks.starts[0] == 0 and blocks.starts[-1] == count
    assert (blocks.sizes > 0).all() and (blocks.sizes <= LARGEST).all()
    assert (parts.groups.sizes > 0).all() and set(parts.groups.starts) <= set(blocks.starts)
    assert blocks.starts[parts.firsts].tolist() == parts.groups.starts.tolist()


def test_same_seed_gives_same_blocks() -> None:
    vectors, bias = _rows(3000), np.zeros(3000, np.float32)
    one, two, other = (partition(vectors, bias, seed).blocks for seed in (1, 1, 2))
    assert one.order.tolist() == two.order.tolist() and one.starts.tolist() == two.starts.tolist()
    assert one.order.tolist() != other.order.tolist()


def test_many_centers_are_found_through_cells() -> None:
    # 400 far apart clusters: each row has one center near it, whether it is compared with all centers or with a part.
    owner = np.random.default_rng(1).permutation(np.repeat(np.arange(400), 40))
    centers = np.random.default_rng(0).normal(size=(400, 8)) * 50
    vectors = (centers[owner] + 0.1 * _rows(len(owner), 8)).astype(np.float32)
    random = np.random.default_rng(2)
    found = _closest_of_many(lambda at: vectors[at], np.arange(len(vectors)), centers.astype(np.float32), random)
    assert (found == owner).mean() > 0.99


@pytest.mark.parametrize("rows", [1, 5, 11, 255, 256, 257, 9000])
@pytest.mark.parametrize("is_own", [False, True])
def test_best_rows_are_those_of_a_full_sort(rows: int, is_own: bool) -> None:
    vectors, random = _rows(rows), np.random.default_rng(7)
    candidates = Candidates(vectors, np.abs(_rows(rows)[:, 0]), random.normal(size=rows).astype(np.float32))
    own = random.integers(0, rows, 20) if is_own else None
    queries = vectors[own] if own is not None else _rows(20, seed=9)
    found = best_rows(candidates, queries, 10, own)
    scores = queries @ vectors.T * candidates.scale + candidates.bias
    if own is not None:
        scores[np.arange(20), own] = -np.inf
    expected = np.argsort(-scores, axis=1)[:, : min(10, rows - is_own)]
    assert np.sort(found).tolist() == np.sort(expected).tolist()


def test_most_blocks_are_of_one_cluster() -> None:
    centers = np.random.default_rng(0).normal(size=(40, 6)) * 100
    owner = np.random.default_rng(1).permutation(np.repeat(np.arange(40), 32))
    blocks = partition(
        (centers[owner] + 0.1 * _rows(len(owner))).astype(np.float32), np.zeros(len(owner), np.float32)
    ).blocks
    mixed = sum(len(set(owner[part])) > 1 for part in np.split(blocks.order, blocks.starts[1:-1]))
    assert mixed < len(blocks) / 3  # nearly all blocks of random rows would be mixed


def test_means_match_plain_mean() -> None:
    vectors, scale = _rows(500), np.abs(_rows(500)[:, 0])
    blocks = Blocks(np.random.default_rng(3).permutation(500).astype(np.int32), np.array([0, 7, 8, 300, 500], np.int32))
    parts = np.split(blocks.order, [7, 8, 300])
    np.testing.assert_allclose(blocks.means(vectors), [vectors[part].mean(axis=0) for part in parts], atol=1e-6)
    scaled = [(vectors[part] * scale[part, None]).mean(axis=0) for part in parts]
    np.testing.assert_allclose(blocks.means(vectors, scale), scaled, atol=1e-6)


def test_calibration_counts_blocks_of_best_rows() -> None:
    centers = np.random.default_rng(0).normal(size=(100, 8)) * 3
    vectors = (centers[np.arange(4000) % 100] + 0.3 * _rows(4000, 8)).astype(np.float32)
    bias = np.random.default_rng(2).normal(size=4000).astype(np.float32)
    queries = vectors[:100] + 0.1 * _rows(100, 8, seed=5)
    candidates, parts = Candidates(vectors, bias=bias), partition(vectors, bias)
    blocks, centers = parts.blocks, Described.of(parts, candidates)
    found = calibrate(candidates, parts, centers, queries)
    assert found.probes < exact_from(len(blocks))
    owner = np.empty(4000, int)
    owner[blocks.order] = np.repeat(np.arange(len(blocks)), blocks.sizes)
    of_groups = np.argsort(-centers.groups.scores(queries), axis=1)[:, : found.groups]
    group = np.repeat(np.arange(len(parts.groups)), np.diff(parts.firsts))
    is_read = np.array([np.isin(group, groups) for groups in of_groups])
    estimates = np.where(is_read, centers.blocks.scores(queries), -np.inf)
    read = np.argsort(-estimates, axis=1)
    best = np.argsort(-(queries @ vectors.T + bias), axis=1)[:, :10]

    def recall(probes: int) -> float:
        return float(np.mean([np.isin(owner[row], blocks_[:probes]) for row, blocks_ in zip(best, read, strict=True)]))

    assert recall(found.probes) == pytest.approx(found.recall) and recall(found.probes) >= 0.982
    assert recall(found.probes - 1) < 0.982


def test_vectors_without_clusters_are_read_whole() -> None:
    vectors = _rows(3000, 64)
    candidates, parts = Candidates(vectors), partition(vectors, np.zeros(3000, np.float32))
    found = calibrate(candidates, parts, Described.of(parts, candidates), _rows(50, 64, seed=4))
    assert found == (len(parts.blocks), 1.0, len(parts.groups))
