"""Planted sparse pairs of the benchmark of time to quality."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.sparse import planted_groups, recall


def test_pairs_are_distinct_and_mostly_within_a_group() -> None:
    data = planted_groups(200, 300, 10)
    pairs = np.concatenate([data.train, data.test])
    assert len(np.unique(pairs, axis=0)) == len(pairs)
    assert len(data.test) == len(pairs) // 5
    assert (pairs[:, 0] % 10 == pairs[:, 1] % 10).mean() > 0.8


@pytest.mark.tensorflow
def test_recall_is_one_for_the_true_groups() -> None:
    """A group of ten right entities fits into the list. Test pairs of another group are not found."""
    data = planted_groups(200, 100, 10)
    groups = np.eye(10, dtype=np.float32)
    left, right = groups[np.arange(200) % 10], groups[np.arange(100) % 10]
    same = data.test[:, 0] % 10 == data.test[:, 1] % 10
    only = type(data)(data.train, data.test[same])
    assert recall(only, left, right) == 1.0
    assert recall(data, left, right) < 1.0
