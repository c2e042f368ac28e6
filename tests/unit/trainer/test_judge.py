"""Judge: the ranking of held-out pairs, against a ranking of each query by hand."""

from __future__ import annotations

import numpy as np
import pytest

from trainer import judge as judge_module
from trainer.data.pairs import Pairs
from trainer.judge import Judge

LEFT, RIGHT = 40, 25


def _pairs(rows: np.ndarray) -> Pairs:
    left, right = np.nonzero(rows)
    return Pairs(left.astype(np.int32), right.astype(np.int32), np.ones(len(left), np.float32))


def _planted(right: int = RIGHT) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(2)
    kept, held = random.random((2, LEFT, right)) < 0.15
    kept[:, -1] = False  # no model knows the last right entity
    held[0, -1] = True
    return kept, held


def _by_hand(kept: np.ndarray, held: np.ndarray, scores: np.ndarray, itself: bool = False) -> list[float]:
    """Returns the NDCG at 5 of each left entity with something to find."""
    found = []
    for row in range(LEFT):
        known = np.flatnonzero(kept.any(axis=0))
        listed = [c for c in known if not kept[row, c] and not (itself and c == row)]
        listed.sort(key=lambda c: (-scores[row, c], c))
        wanted = set(np.flatnonzero(held[row] & ~kept[row])) - ({row} if itself else set())
        if wanted:
            gains = sum(1 / np.log2(2 + place) for place, c in enumerate(listed[:5]) if c in wanted)
            found.append(gains / sum(1 / np.log2(2 + place) for place in range(min(5, len(wanted)))))
    return found


@pytest.mark.parametrize("shared", [False, True])
def test_ndcg_is_that_of_a_ranking_by_hand(shared: bool) -> None:
    others = LEFT if shared else RIGHT
    kept, held = _planted(others)
    random = np.random.default_rng(3)
    left, right = random.normal(size=(LEFT, 4)).astype(np.float32), random.normal(size=(others, 4)).astype(np.float32)
    bias = random.normal(size=others).astype(np.float32)
    judge = Judge("ndcg@5", _pairs(kept), _pairs(held), (LEFT, others), shared, seed=1)
    expected = _by_hand(kept, held, left @ right.T + bias, itself=shared)
    np.testing.assert_allclose(judge.per_query(left, right, bias), expected, rtol=1e-6)
    assert judge.mean(left, right, bias) == pytest.approx(np.mean(expected))


def test_sample_of_queries_is_the_same_for_every_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judge_module, "QUERIES", 7)
    monkeypatch.setattr(judge_module, "_SCORES", 0)
    kept, held = _planted()
    judges = [Judge("recall@5", _pairs(kept), _pairs(held), (LEFT, RIGHT), False, seed) for seed in (1, 1, 2)]
    tables = np.eye(LEFT, 30, dtype=np.float32), np.eye(RIGHT, 30, dtype=np.float32)
    values = [judge.per_query(*tables) for judge in judges]
    assert len(values[0]) <= 7
    np.testing.assert_array_equal(values[0], values[1])
    np.testing.assert_array_equal(judges[0]._queries, judges[1]._queries)
    assert not np.array_equal(judges[0]._queries, judges[2]._queries)


def test_small_catalogs_have_more_queries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judge_module, "QUERIES", 7)
    monkeypatch.setattr(judge_module, "_SCORES", 12 * RIGHT)
    kept, held = _planted()
    assert len(Judge("recall@5", _pairs(kept), _pairs(held), (LEFT, RIGHT), False, 1)._queries) == 12


def test_nothing_to_find_has_mean_zero() -> None:
    kept, _ = _planted()
    judge = Judge("ndcg@5", _pairs(kept), _pairs(kept), (LEFT, RIGHT), False, seed=1)
    assert judge.mean(np.ones((LEFT, 2), np.float32), np.ones((RIGHT, 2), np.float32)) == 0
