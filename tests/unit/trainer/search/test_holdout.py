"""Held-out rows: the latest ones of the data or of each left entity, compared with loops in Python."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests import written_examples
from trainer.data import dataset
from trainer.data.pairs import Pairs
from trainer.model.table_sizes import TableSizes
from trainer.search.choice import choose
from trainer.search.holdout import hold_out, latest, latest_of_left
from trainer.settings import SEARCHABLE, ModelSettings, SearchSettings, TrainSettings

ROWS = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 9)), min_size=1, max_size=80)


@given(ROWS)
def test_latest_row_of_each_entity(rows: list[tuple[int, int]]) -> None:
    left, times = (np.array(column) for column in zip(*rows, strict=True))
    held = latest_of_left(left, times.astype(float), seed=1)
    expected = set()
    for entity in set(left.tolist()):
        own = np.flatnonzero(left == entity)
        if len(own) > 1:
            expected.add(max(own, key=lambda row: (times[row], row)))
    found = set(np.flatnonzero(held).tolist())
    assert found <= expected
    assert len(found) == min(len(expected), max(len(rows) // 10, 1))


@given(ROWS)
def test_latest_tenth_has_no_earlier_row_than_the_rest(rows: list[tuple[int, int]]) -> None:
    times = np.array([time for _, time in rows], float)
    held = latest(times)
    assert held.sum() >= max(round(len(rows) / 10), 1)
    if not held.all():
        assert times[held].min() > times[~held].max()


def _pairs(rows: int = 2000) -> tuple[Pairs, np.ndarray]:
    """Returns pairs whose taste changes: late partners are of another group than early ones."""
    draw = np.random.default_rng(2)
    left = np.repeat(np.arange(100), rows // 100).astype(np.int32)
    times = draw.random(len(left))
    right = (left % 4 + 4 * draw.integers(0, 10, len(left)) + 40 * (times > 0.9)).astype(np.int32)
    return Pairs(left, right, np.ones(len(left), np.float32)), times


@pytest.mark.parametrize("how", ["latest", "latest_of_left"])
def test_trials_are_measured_on_late_rows(how: str, tmp_path: Path) -> None:
    pairs, times = _pairs()
    kept, held = hold_out(pairs, times, how, 1, False)  # type: ignore[arg-type]
    assert len(kept) + len(held) == len(pairs) and len(held) <= 0.11 * len(pairs)
    late = held.right >= 40
    assert late.mean() > 0.5
    sections = {
        "model": ModelSettings(objective="ials").model_dump(mode="json"),
        "train": TrainSettings(optimizer="als").model_dump(mode="json"),
    }
    search = SearchSettings(settings=SEARCHABLE[False], budget=1)
    given = (pairs, TableSizes(101, 81), sections, "ndcg@10", search, str(tmp_path))
    found = choose(*given, times, how)  # type: ignore[arg-type]
    assert (found.hold_out, found.held_out) == (how, len(held))
    # A choice by other rows is another choice.
    assert choose(*given, times, how).reused and not choose(*given).reused  # type: ignore[arg-type]


def test_times_have_the_order_of_the_rows(tmp_path: Path) -> None:
    rows = [(f"l{row % 3}".encode(), f"r{row}".encode(), 1.0, 1.0, float(100 - row)) for row in range(10)]
    examples = written_examples.write(tmp_path, rows[:7], rows[7:], per_shard=3)
    times = dataset.times(examples)
    assert times is not None and times.tolist() == [row[4] for row in rows[:7]]
    np.testing.assert_array_equal(examples.rows("train").time, times)
    assert dataset.times(written_examples.write(tmp_path / "other", [row[:4] for row in rows])) is None


def test_rows_without_times_are_held_out_at_random() -> None:
    pairs, _ = _pairs()
    kept, held = hold_out(pairs, None, "latest", 3, False)
    other_kept, other_held = pairs.hold_out(0.1, 3)
    np.testing.assert_array_equal(held.right, other_held.right)
    np.testing.assert_array_equal(kept.left, other_kept.left)
