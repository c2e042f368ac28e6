"""Blocks of similar rows: their bounds, their means, and how many of them hold the best rows."""

from __future__ import annotations

import numpy as np
import pytest

from trainer.index.blocks import Blocks, largest_block, partition
from trainer.index.calibration import calibrate, exact_from
from trainer.index.centers import Candidates, Centers


def _rows(count: int, dimension: int = 6, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, dimension)).astype(np.float32)


@pytest.mark.parametrize("count", [0, 1, 2, 63, 64, 65, 1000, 5001])
@pytest.mark.parametrize("kind", ["different", "equal", "zero"])
def test_every_row_is_in_one_block(count: int, kind: str) -> None:
    vectors = {"different": _rows(count), "equal": np.ones((count, 6), np.float32)}.get(
        kind, np.zeros((count, 6), np.float32)
    )
    blocks = partition(vectors, np.arange(count, dtype=np.float32) % 3)
    assert np.sort(blocks.order).tolist() == list(range(count))
    assert blocks.starts[0] == 0 and blocks.starts[-1] == count
    assert (blocks.sizes > 0).all() and (blocks.sizes <= largest_block(count)).all()


def test_same_seed_gives_same_blocks() -> None:
    vectors, bias = _rows(3000), np.zeros(3000, np.float32)
    one, two, other = (partition(vectors, bias, seed) for seed in (1, 1, 2))
    assert one.order.tolist() == two.order.tolist() and one.starts.tolist() == two.starts.tolist()
    assert one.order.tolist() != other.order.tolist()


def test_largest_block_grows_with_root_of_rows() -> None:
    assert [largest_block(rows) for rows in (1, 10**5, 10**6, 4 * 10**6, 10**7, 10**9)] == [64, 64, 64, 128, 256, 256]


def test_most_blocks_are_of_one_cluster() -> None:
    centers = np.random.default_rng(0).normal(size=(40, 6)) * 100
    owner = np.random.default_rng(1).permutation(np.repeat(np.arange(40), 32))
    blocks = partition((centers[owner] + 0.1 * _rows(len(owner))).astype(np.float32), np.zeros(len(owner), np.float32))
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
    candidates, blocks = Candidates(vectors, bias=bias), partition(vectors, bias)
    found = calibrate(candidates, blocks, Centers.of(blocks, candidates), queries)
    assert found.probes < exact_from(len(blocks))
    owner = np.empty(4000, int)
    owner[blocks.order] = np.repeat(np.arange(len(blocks)), blocks.sizes)
    estimates = Centers.of(blocks, candidates).scores(queries)
    read = np.argsort(-estimates, axis=1)
    best = np.argsort(-(queries @ vectors.T + bias), axis=1)[:, :10]

    def recall(probes: int) -> float:
        return float(np.mean([np.isin(owner[row], blocks_[:probes]) for row, blocks_ in zip(best, read, strict=True)]))

    assert recall(found.probes) == pytest.approx(found.recall) and recall(found.probes) >= 0.982
    assert recall(found.probes - 1) < 0.982


def test_vectors_without_clusters_are_read_whole() -> None:
    vectors = _rows(3000, 64)
    candidates, blocks = Candidates(vectors), partition(vectors, np.zeros(3000, np.float32))
    found = calibrate(candidates, blocks, Centers.of(blocks, candidates), _rows(50, 64, seed=4))
    assert found == (len(blocks), 1.0)
