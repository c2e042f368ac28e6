"""Ranking compared with sorting in plain Python and with scikit-learn, a planted leak, and memory by block."""

from __future__ import annotations

import gzip
import math
import os
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import label_ranking_average_precision_score, ndcg_score

from trainer.ranking import ranking_metrics
from trainer.ranking.lists import Lists
from trainer.ranking.ranks import rank_candidates, rank_catalogue
from trainer.ranking.top_k import top_k

NAMES = ("recall@2", "ndcg@2", "hit_rate@2", "mrr@2", "map@2", "recall@5", "ndcg@5", "mrr@5", "map@5", "mrr", "map")


def order_of(scores: list[float], seen: set[int]) -> list[int]:
    return sorted((row for row in range(len(scores)) if row not in seen), key=lambda row: (-scores[row], row))


def plain(name: str, order: list[int], relevant: set[int]) -> float:
    """Computes a metric as in its textbook, with loops."""
    kind, _, depth = name.partition("@")
    k = int(depth) if depth else len(order)
    ranks = [rank for rank, row in enumerate(order[:k], start=1) if row in relevant]
    if kind == "recall":
        return len(ranks) / len(relevant)
    if kind == "hit_rate":
        return float(bool(ranks))
    if kind == "mrr":
        return 1 / ranks[0] if ranks else 0.0
    if kind == "map":
        return sum(sum(other <= rank for other in ranks) / rank for rank in ranks) / len(relevant)
    ideal = sum(1 / math.log2(1 + rank) for rank in range(1, min(k, len(relevant)) + 1))
    return sum(1 / math.log2(1 + rank) for rank in ranks) / ideal


def lists(of: list[set[int]]) -> Lists:
    pairs = [(owner, row) for owner, rows in enumerate(of) for row in rows]
    owner, row = (
        (np.array(column, np.int64) for column in zip(*pairs, strict=True)) if pairs else (np.zeros(0, int),) * 2
    )
    return Lists.of_pairs(owner, row, len(of))


@st.composite
def problems(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[set[int]], list[set[int]]]:
    """Integers, so that scores are exact and many are equal."""
    queries, candidates = draw(st.integers(1, 5)), draw(st.integers(1, 40))
    small = st.integers(-2, 2)
    numbers = draw(st.lists(small, min_size=2 * (queries + candidates) + candidates, max_size=None))
    values = np.array(numbers, np.float32)
    left = values[: 2 * queries].reshape(queries, 2)
    right = values[2 * queries : 2 * (queries + candidates)].reshape(candidates, 2)
    bias = values[2 * (queries + candidates) :][:candidates]
    rows = st.sets(st.integers(0, candidates - 1))
    return left, right, bias, [draw(rows) for _ in range(queries)], [draw(rows) for _ in range(queries)]


@given(problems(), st.integers(1, 45), st.sampled_from([1, 300, 1 << 20]))
@settings(max_examples=60, deadline=None)
def test_top_k_matches_sorting(problem, k: int, block: int) -> None:
    left, right, bias, seen, _ = problem
    rows, scores = top_k(left, right, k, bias, lists(seen), block)
    k = min(k, len(right))
    assert rows.shape == scores.shape == (len(left), k)
    for query in range(len(left)):
        all_scores = (right @ left[query] + bias).tolist()
        expected = order_of(all_scores, seen[query])[:k]
        assert rows[query].tolist() == expected + [-1] * (k - len(expected))
        assert scores[query].tolist() == [all_scores[row] for row in expected] + [-np.inf] * (k - len(expected))


@given(problems(), st.sampled_from([1, 300, 1 << 20]))
@settings(max_examples=60, deadline=None)
def test_metrics_match_plain_python(problem, block: int) -> None:
    left, right, bias, seen, relevant = problem
    shallow = rank_catalogue(left, right, lists(relevant), lists(seen), 5, bias, block)
    full = rank_catalogue(left, right, lists(relevant), lists(seen), None, bias, block)
    to_find = [query for query in range(len(left)) if relevant[query] - seen[query]]
    for name in NAMES:
        found = ranking_metrics.per_query(shallow if "@" in name else full, name)
        expected = [
            plain(name, order_of((right @ left[q] + bias).tolist(), seen[q]), relevant[q] - seen[q]) for q in to_find
        ]
        assert found.tolist() == pytest.approx(expected), name
        assert ranking_metrics.per_query(full, name).tolist() == pytest.approx(expected), name
    shown = {row for q in range(len(left)) for row in order_of((right @ left[q] + bias).tolist(), seen[q])[:5]}
    assert ranking_metrics.coverage(shallow) == pytest.approx(len(shown) / len(right))


@given(problems())
@settings(max_examples=60, deadline=None)
def test_sampled_protocol_matches_plain_python(problem) -> None:
    left, right, bias, candidates, relevant = problem
    found = rank_candidates(left, right, lists(relevant), lists(candidates), bias, block_bytes=64)
    for name in NAMES:
        expected = []
        for query in range(len(left)):
            others = set(range(len(right))) - candidates[query] - relevant[query]
            if relevant[query]:
                expected.append(plain(name, order_of((right @ left[query] + bias).tolist(), others), relevant[query]))
        assert ranking_metrics.per_query(found, name).tolist() == pytest.approx(expected), name


def test_seen_pairs_do_not_count() -> None:
    """A model that only memorizes the training pairs finds nothing. If they counted, it would be perfect."""
    draw = np.random.default_rng(1)
    seen = [set(draw.choice(200, 5, replace=False).tolist()) for _ in range(100)]
    memory = np.zeros((100, 200), np.float32)
    for query, rows in enumerate(seen):
        memory[query, list(rows)] = 1
    left, right = memory, np.eye(200, dtype=np.float32)
    leaked = [rows | {int(draw.integers(200))} for rows in seen]
    honest = rank_catalogue(left, right, lists(leaked), lists(seen), 5)
    assert ranking_metrics.per_query(honest, "recall@5").mean() < 0.1
    fooled = rank_catalogue(left, right, lists(seen), lists([set()] * 100), 5)
    assert ranking_metrics.per_query(fooled, "recall@5").tolist() == [1.0] * 100


def _against_scikit_learn(left: np.ndarray, right: np.ndarray, relevant: Lists, seen: Lists) -> None:
    shallow = rank_catalogue(left, right, relevant, seen, 10)
    full = rank_catalogue(left, right, relevant, seen, None)
    scores = (left @ right.T).astype(np.float64)
    scores[seen.owners, seen.rows] = -1e9
    labels = np.zeros(scores.shape, int)
    labels[relevant.owners, relevant.rows] = 1
    labels[seen.owners, seen.rows] = 0
    some = labels.any(axis=1)
    theirs = ndcg_score(labels[some], scores[some], k=10, ignore_ties=True)
    assert ranking_metrics.per_query(shallow, "ndcg@10").mean() == pytest.approx(theirs, rel=1e-6)
    theirs = label_ranking_average_precision_score(labels[some], scores[some])
    assert ranking_metrics.per_query(full, "map").mean() == pytest.approx(theirs, rel=1e-6)


def _ragged(draw: np.random.Generator, queries: int, candidates: int, pairs: int) -> Lists:
    return Lists.of_pairs(draw.integers(0, queries, pairs), draw.integers(0, candidates, pairs), queries)


def test_ndcg_and_average_precision_match_scikit_learn() -> None:
    draw = np.random.default_rng(2)
    left, right = draw.standard_normal((80, 6)).astype("f"), draw.standard_normal((150, 6)).astype("f")
    _against_scikit_learn(left, right, _ragged(draw, 80, 150, 600), _ragged(draw, 80, 150, 900))


def test_metrics_match_scikit_learn_on_movielens() -> None:
    data = os.environ.get("KINDRED_BENCH_DATA")
    if not data:
        pytest.skip("KINDRED_BENCH_DATA is not set: no MovieLens 1M here")
    with gzip.open(Path(data, "ml-1m", "ratings.csv.gz"), "rt") as file:
        start = file.readline()
        rows = [line.split(",")[:2] for line in (*([] if "user" in start else [start]), *file)]
    pairs = np.array(rows, np.int64)
    left, right = (np.unique(column, return_inverse=True)[1] for column in pairs.T)
    # Only some users, because scikit-learn is slow.
    some = left < 800
    left, right = left[some], right[some]
    in_eval = np.random.default_rng(3).random(len(left)) < 0.2
    counts = left.max() + 1, right.max() + 1
    # A crude model that is better than chance: random projections of the pairs to 32 dimensions.
    basis = np.random.default_rng(4).standard_normal((counts[0], 32)).astype("f")
    items = np.zeros((counts[1], 32), np.float32)
    np.add.at(items, right[~in_eval], basis[left[~in_eval]])
    items += np.random.default_rng(5).standard_normal(items.shape).astype("f") / 100  # no two scores are equal
    users = np.zeros((counts[0], 32), np.float32)
    np.add.at(users, left[~in_eval], items[right[~in_eval]])
    relevant = Lists.of_pairs(left[in_eval], right[in_eval], counts[0])
    _against_scikit_learn(users, items, relevant, Lists.of_pairs(left[~in_eval], right[~in_eval], counts[0]))


def test_memory_is_limited_to_blocks() -> None:
    draw = np.random.default_rng(5)
    left, right = draw.standard_normal((20_000, 4)).astype("f"), draw.standard_normal((2_000, 4)).astype("f")
    tracemalloc.start()
    top_k(left, right, 10, block_bytes=1 << 20)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20_000 * 2_000 * 4 / 4


@pytest.mark.parametrize(
    "name", ["recall", "recall@0", "recall@x", "rmse", "ndcg", "coverage", "precision@5", "@5", ""]
)
def test_unknown_metric_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"is not a ranking metric\. Choose from recall@K, ndcg@K"):
        ranking_metrics.parse(name)


def test_metric_beyond_depth_is_refused() -> None:
    shallow = rank_catalogue(np.ones((1, 1), "f"), np.ones((9, 1), "f"), lists([{1}]), lists([set()]), 5)
    for name in ("recall@6", "mrr", "coverage@5"):
        with pytest.raises(ValueError, match=r"beyond 5|not defined per query"):
            ranking_metrics.per_query(shallow, name)
