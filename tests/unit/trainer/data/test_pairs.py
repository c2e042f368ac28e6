"""Pairs in memory and in shards: every row once, in an order that depends on the seed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainer.data import sharded_pairs
from trainer.data.pairs import Pairs, TrainingPairs
from trainer.data.sharded_pairs import ShardedPairs, collect


def _pairs(count: int, weighted: bool = False) -> Pairs:
    rows = np.arange(count)
    weight = (rows / 8 + 1).astype(np.float32) if weighted else np.ones(count, np.float32)
    left, right = (rows * 3 + 1).astype(np.int32), (rows * 7 + 2).astype(np.int32)
    return Pairs(left, right, (rows / 4 - 5).astype(np.float32), weight)


def _parts(pairs: Pairs, size: int) -> Iterator[Pairs]:
    return pairs.in_order(size)


def _rows(pairs: Pairs) -> list[int]:
    """Returns the row numbers of `_pairs`, and checks that their columns belong together."""
    rows = (pairs.left - 1) // 3
    np.testing.assert_array_equal(pairs.right, rows * 7 + 2)
    np.testing.assert_array_equal(pairs.label, (rows / 4 - 5).astype(np.float32))
    if pairs.weight is not None and (pairs.weight != 1).any():
        np.testing.assert_array_equal(pairs.weight, (rows / 8 + 1).astype(np.float32))
    return rows.tolist()


def _pass(pairs: TrainingPairs, seed: int, batch: int = 64) -> list[int]:
    return [row for part in pairs.shuffled(np.random.default_rng(seed), batch) for row in _rows(part)]


@pytest.fixture(params=["memory", "shards"])
def many(request: pytest.FixtureRequest, tmp_path: Path) -> TrainingPairs:
    """4,000 rows, in memory or in shards."""
    found = collect(_parts(_pairs(4000), 130), 10**9 if request.param == "memory" else 5000, str(tmp_path))
    assert isinstance(found, Pairs if request.param == "memory" else ShardedPairs)
    return found


def test_each_pass_has_its_own_order(many: TrainingPairs) -> None:
    passes = [_pass(many, seed) for seed in range(3)]
    for order in passes:
        assert sorted(order) == list(range(4000)) and order != list(range(4000))
    assert len({tuple(order) for order in passes}) == 3
    assert _pass(many, 1) == passes[1]


def test_shuffle_is_uncorrelated_with_order(many: TrainingPairs) -> None:
    """Over n rows the correlation of row and place has deviation 1 / sqrt(n)."""
    order = np.array(_pass(many, 1))
    for part in (order, order[:2000], order[2000:]):
        assert abs(np.corrcoef(part, np.arange(len(part)))[0, 1]) < 4 / len(part) ** 0.5
    # Neighbors in the data are not neighbors in a pass.
    assert (np.abs(np.diff(order)) == 1).mean() < 0.05


def test_only_last_batch_is_smaller(many: TrainingPairs) -> None:
    sizes = [len(batch) for batch in many.shuffled(np.random.default_rng(3), 300)]
    assert sizes == [300] * 13 + [100]


def test_hold_out_is_random(many: TrainingPairs) -> None:
    kept, held = many.hold_out(0.1, seed=4)
    assert sorted([*_pass(kept, 0), *_rows(held)]) == list(range(4000))
    assert len(kept) + len(held) == len(many) == 4000
    assert 400 <= len(held) < 400 + 2 * 4000 / 64
    # A random tenth has a mean row with deviation 4,000 / sqrt(12 n).
    assert abs(np.mean(_rows(held)) - 2000) < 4 * 4000 / (12 * len(held)) ** 0.5
    assert _rows(many.hold_out(0.1, seed=4)[1]) == _rows(held) != _rows(many.hold_out(0.1, seed=5)[1])


@pytest.mark.parametrize("memory", [10**9, 5000])
def test_hold_out_keeps_both_directions_together(memory: int, tmp_path: Path) -> None:
    draw = np.random.default_rng(2)
    first, second = draw.integers(0, 90, (2, 2000)).astype(np.int32)
    left, right = np.concatenate([first, second]), np.concatenate([second, first])
    both = Pairs(left, right, np.arange(4000, dtype=np.float32) - 9)
    found = collect(_parts(both, 130), memory, str(tmp_path), unordered=True)
    kept, held = found.hold_out(0.1, 4, unordered=True)
    assert 400 <= len(held) < 400 + 3 * 4000 / 64 and len(kept) + len(held) == 4000
    (rest,) = kept.shuffled(draw, 4000)
    pairs_of = [{frozenset(pair) for pair in zip(part.left, part.right, strict=True)} for part in (rest, held)]
    assert not pairs_of[0] & pairs_of[1]
    again = found.hold_out(0.1, 5, unordered=True)[1]
    assert held.label.tolist() != again.label.tolist()


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=2, max_size=30), st.floats(0.01, 0.99))
def test_unordered_hold_out_leaves_rows_on_both_sides(rows: list[tuple[int, int]], fraction: float) -> None:
    left, right = np.array(rows, np.int32).T
    kept, held = Pairs(left, right, np.arange(len(rows), dtype=np.float32)).hold_out(fraction, 1, unordered=True)
    assert len(kept) and len(held)
    assert sorted([*kept.label, *held.label]) == list(range(len(rows)))


def test_sample_has_distinct_random_rows(many: TrainingPairs) -> None:
    """A random tenth has a mean row with deviation 4,000 / sqrt(12 n)."""
    first, second = (_rows(many.sample(np.random.default_rng(seed), 400)) for seed in (1, 2))
    assert len(set(first)) == len(set(second)) == 400 and set(first) != set(second)
    if isinstance(many, Pairs):
        assert first == sorted(first) and abs(np.mean(first) - 2000) < 4 * 4000 / (12 * 400) ** 0.5
    assert sorted(_rows(many.sample(np.random.default_rng(1), 5000))) == list(range(4000))


def test_occurrences_are_counted(many: TrainingPairs) -> None:
    left, right = many.occurrences((12_001, 28_000))
    assert left.tolist() == [int(row % 3 == 1 and row < 12_000) for row in range(12_001)]
    assert right.sum() == 4000 and right[[2, 9]].tolist() == [1, 1]


def test_common_properties_of_rows(many: TrainingPairs) -> None:
    assert not many.weighted and not many.positives_only


@pytest.mark.parametrize("memory", [10**9, 1000])
def test_weights_follow_their_rows(memory: int, tmp_path: Path) -> None:
    source = _pairs(500, weighted=True)
    source.label[:] = 1
    found = collect(_parts(source, 100), memory, str(tmp_path))
    assert found.weighted and found.positives_only
    for batch in found.shuffled(np.random.default_rng(0), 64):
        np.testing.assert_array_equal(batch.weight, ((batch.left - 1) // 3 / 8 + 1).astype(np.float32))


def test_shards_are_written_in_several_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sharded_pairs, "_DEAL_ROWS", 200)
    found = collect(_parts(_pairs(1500), 70), 1000, str(tmp_path))
    assert sorted(_pass(found, 0)) == list(range(1500))
    assert len(list(tmp_path.iterdir())) == 64


def test_empty_data_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no row"):
        collect(iter([]), 100, str(tmp_path))


@given(st.integers(1, 40), st.integers(1, 50), st.integers(0, 2**32 - 1))
@settings(max_examples=20)
def test_any_row_count_and_batch_size(count: int, size: int, seed: int) -> None:
    pairs = _pairs(count)
    assert sorted(_pass(pairs, seed, size)) == list(range(count))
    assert [row for batch in pairs.in_order(size) for row in _rows(batch)] == list(range(count))


@given(st.integers(2, 60), st.floats(0.001, 0.999), st.integers(0, 2**32 - 1))
@settings(max_examples=60)
def test_hold_out_leaves_rows_on_both_sides(count: int, fraction: float, seed: int) -> None:
    kept, held = _pairs(count).hold_out(fraction, seed)
    assert len(kept) >= 1 and len(held) >= 1
    assert abs(len(held) - count * fraction) <= 1
    assert sorted(_rows(kept) + _rows(held)) == list(range(count))
    assert _rows(kept) == sorted(_rows(kept)) and _rows(held) == sorted(_rows(held))
