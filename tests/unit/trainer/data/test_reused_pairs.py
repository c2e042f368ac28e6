"""ReusedPairs keep what is computed from them. Other pairs compute it again."""

from __future__ import annotations

import numpy as np

from trainer.data.pairs import Pairs, ReusedPairs


def _pairs() -> Pairs:
    return Pairs(np.arange(3, dtype=np.int32), np.arange(3, dtype=np.int32), np.ones(3, np.float32))


def test_result_of_a_key_is_computed_once() -> None:
    made: list[str] = []
    pairs = ReusedPairs.of(_pairs())
    for key in ("a", "b", "a"):
        assert pairs.once(key, lambda key=key: made.append(key) or key) == key
    assert made == ["a", "b"]


def test_pairs_of_one_training_keep_nothing() -> None:
    made: list[int] = []
    pairs = _pairs()
    for _ in range(2):
        pairs.once("a", lambda: made.append(1))
    assert made == [1, 1]


def test_other_rows_have_no_old_results() -> None:
    pairs = ReusedPairs.of(_pairs())
    pairs.once("rows", lambda: 3)
    assert pairs.take(slice(0, 2)).once("rows", lambda: 2) == 2
