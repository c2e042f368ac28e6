"""Ranking metrics against plain Python: unknown ids, seen pairs, given candidates, a model with other ids."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from components.coded_pairs import CodedPairs
from components.evaluator.figures import POPULARITY, find
from components.evaluator.slices import Cuts, popularity
from components.pair_example_gen.settings import ColumnSettings
from components.ranking_evaluator.cold import measure_cold
from components.ranking_evaluator.measure import measure
from components.ranking_evaluator.settings import Candidates, RankingSettings
from components.ranking_evaluator.task import Task, of_popularity, of_tables
from trainer.data.examples import Rows
from trainer.export.tables import Side, Tables

pytestmark = pytest.mark.tensorflow

LEFT, RIGHT = 12, 25
METRICS = ("recall@3", "ndcg@3", "hit_rate@3", "mrr", "map@5", "coverage@3", "sampled_recall@2", "sampled_mrr")


def ids(side: str, numbers: list[int]) -> pa.Array:
    return pa.array([f"{side}{number}".encode() for number in numbers], pa.large_binary())


@pytest.fixture
def pairs() -> CodedPairs:
    """Right id 24 and left id 11 occur in eval only. Some pairs occur in both splits. Scores are 0 or 1."""
    draw = np.random.default_rng(1)
    train = Rows(
        draw.integers(0, LEFT - 1, 60).astype(np.int32),
        (draw.integers(0, 5, 60) * draw.integers(0, 5, 60)).clip(max=RIGHT - 2).astype(np.int32),
        draw.integers(0, 2, 60).astype(np.float32),
    )
    left = np.concatenate([draw.integers(0, LEFT, 30), train.left[:5], [0, 11]]).astype(np.int32)
    right = np.concatenate([draw.integers(0, RIGHT - 1, 30), train.right[:5], [RIGHT - 1, 3]]).astype(np.int32)
    score = np.concatenate([draw.integers(0, 2, 30), np.ones(7)]).astype(np.float32)
    return CodedPairs(ids("l", list(range(LEFT))), ids("r", list(range(RIGHT))), train, Rows(left, right, score))


@pytest.fixture
def candidates(tmp_path: Path, pairs: CodedPairs) -> Candidates:
    draw = np.random.default_rng(2)
    lines = ["who,what", *(f"l{draw.integers(0, LEFT)},r{draw.integers(0, RIGHT + 5)}" for _ in range(80)), "nobody,r1"]
    (tmp_path / "candidates.csv").write_text("\n".join(lines) + "\n")
    columns = ColumnSettings(left="who", right="what")
    return Candidates(path=str(tmp_path / "candidates.csv"), columns=columns, fingerprint="")


def tables(left: list[int], right: list[int], seed: int) -> Tables:
    """A model that knows these ids in this order, with one row for all other ids."""
    draw = np.random.default_rng(seed)

    def side(name: str, known: list[int]) -> Side:
        shape = (len(known) + 1, 4)
        return Side(
            ids(name, known), draw.standard_normal(shape).astype("f"), draw.standard_normal(shape[0]).astype("f")
        )

    return Tables(side("l", left), side("r", right), 0.3)


def plain(model: Tables | None, pairs: CodedPairs, sampled: dict[str, set[str]]) -> dict[str, float]:
    """Computes the metrics with dictionaries and sorting. Without a model, ranks by popularity."""
    name = lambda side, codes: [f"{side}{code}" for code in codes.tolist()]  # noqa: E731
    seen: dict[str, set[str]] = {}
    count: dict[str, int] = {}
    for left, right in zip(name("l", pairs.train.left), name("r", pairs.train.right), strict=True):
        seen.setdefault(left, set()).add(right)
        count[right] = count.get(right, 0) + 1
    wanted: dict[str, set[str]] = {}
    for left, right, score in zip(
        name("l", pairs.eval.left), name("r", pairs.eval.right), pairs.eval.score, strict=True
    ):
        if score > 0.5 and right not in seen.get(left, set()):
            wanted.setdefault(left, set()).add(right)
    if model is None:
        catalogue = sorted(count, key=lambda right: int(right[1:]))
    else:
        catalogue = [value.decode() for value in model.right.ids.to_pylist()]

    def score(left: str, right: str) -> float:
        if model is None:
            return count[right]
        known = [value.decode() for value in model.left.ids.to_pylist()]
        row = known.index(left) if left in known else len(known)
        at = catalogue.index(right)
        return float(np.float32(model.left.vectors[row] @ model.right.vectors[at] + model.right.bias[at]))

    found: dict[str, list[float]] = {metric: [] for metric in METRICS}
    shown: set[str] = set()
    for left, relevant in wanted.items():
        order = sorted((r for r in catalogue if r not in seen.get(left, set())), key=lambda r: -score(left, r))
        shown |= set(order[:3])
        ranks = [rank for rank, right in enumerate(order, 1) if right in relevant]
        among = [right for right in order if right in relevant | sampled.get(left, set())]
        of_sampled = [rank for rank, right in enumerate(among, 1) if right in relevant]
        ideal = sum(1 / math.log2(1 + rank) for rank in range(1, min(3, len(relevant)) + 1))
        top = [rank for rank in ranks if rank <= 3]
        found["recall@3"].append(len(top) / len(relevant))
        found["ndcg@3"].append(sum(1 / math.log2(1 + rank) for rank in top) / ideal)
        found["hit_rate@3"].append(float(bool(top)))
        found["mrr"].append(1 / ranks[0] if ranks else 0.0)
        found["map@5"].append(sum((i + 1) / r for i, r in enumerate(ranks) if r <= 5) / len(relevant))
        found["sampled_recall@2"].append(sum(rank <= 2 for rank in of_sampled) / len(relevant))
        found["sampled_mrr"].append(1 / of_sampled[0] if of_sampled else 0.0)
    return {m: float(np.mean(v)) for m, v in found.items() if v} | {"coverage@3": len(shown) / len(catalogue)}


def test_models_share_the_same_pairs(pairs: CodedPairs, candidates: Candidates) -> None:
    task = Task.of(pairs, 0.5, candidates)
    today = tables(list(range(LEFT - 1)), [right for right in range(RIGHT - 1) if right != 7], seed=3)
    older = tables([3, 1, 99], [5, 88, 2, 0, 9], seed=4)
    others = {"popularity": of_popularity(pairs, task), "last_blessed": of_tables(older, pairs, task)}
    counts = pairs.counts("left")
    masks = popularity(("left_head", "left_middle", "left_tail"), counts[task.left], Cuts.of(counts))
    figures = measure(METRICS, of_tables(today, pairs, task), others, task, masks)
    sampled: dict[str, set[str]] = {}
    for line in Path(candidates.path).read_text().splitlines()[1:]:
        left, right = line.split(",")
        sampled.setdefault(left, set()).add(right)
    # The sampled protocol ranks every given candidate, including seen ones.
    expected = {name: plain(model, pairs, {}) for name, model in (("own", today), ("popularity", None), ("old", older))}
    for metric in METRICS[:6]:
        figure = find(figures, metric)
        assert figure.value == pytest.approx(expected["own"][metric]), metric
        assert figure.others["popularity"].value == pytest.approx(expected["popularity"][metric]), metric
        assert figure.others["last_blessed"].value == pytest.approx(expected["old"][metric]), metric
    head = [find(figures, "mrr", name) for name in masks]
    assert sum(f.count for f in head) == find(figures, "mrr").count == (task.relevant.counts > 0).sum()
    assert find(figures, "mrr").low <= find(figures, "mrr").value <= find(figures, "mrr").high


def test_candidates_and_positives_form_a_set(pairs: CodedPairs, candidates: Candidates) -> None:
    # Without seen pairs, the sampled protocol equals the plain one.
    nothing = Rows(np.full(1, 10, np.int32), np.zeros(1, np.int32), np.ones(1, np.float32))
    pairs = CodedPairs(pairs.left_ids, pairs.right_ids, nothing, pairs.eval)
    task = Task.of(pairs, 0.5, candidates)
    model = tables(list(range(LEFT)), list(range(RIGHT)), seed=5)
    sampled: dict[str, set[str]] = {}
    for line in Path(candidates.path).read_text().splitlines()[1:]:
        left, right = line.split(",")
        sampled.setdefault(left, set()).add(right)
    expected = plain(model, pairs, sampled)
    figures = measure(METRICS, of_tables(model, pairs, task), {}, task, {})
    for metric in METRICS:
        assert find(figures, metric).value == pytest.approx(expected[metric]), metric


def test_positives_are_all_relevant(pairs: CodedPairs) -> None:
    without = CodedPairs(
        pairs.left_ids,
        pairs.right_ids,
        Rows(pairs.train.left, pairs.train.right, None),
        Rows(pairs.eval.left, pairs.eval.right, None),
    )
    task = Task.of(without, 0.0, None)
    seen = set(zip(pairs.train.left.tolist(), pairs.train.right.tolist(), strict=True))
    held_out = set(zip(pairs.eval.left.tolist(), pairs.eval.right.tolist(), strict=True)) - seen
    assert set(zip(task.left[task.relevant.owners].tolist(), task.relevant.rows.tolist(), strict=True)) == held_out


def test_settings_round_trip(candidates: Candidates) -> None:
    for settings in (
        RankingSettings(metrics=("mrr",), slices=("left_head", "left_tail")),
        RankingSettings(metrics=("mrr",), slices=("left_head",), candidates=candidates),
    ):
        assert RankingSettings.model_validate_json(settings.model_dump_json()) == settings


@pytest.mark.parametrize("depth", [3, None])
def test_query_is_no_candidate_of_its_own_ranking(tmp_path: Path, depth: int | None) -> None:
    """One table for both sides, whose tables of ids have another order. Against sorting in plain Python."""
    draw = np.random.default_rng(7)
    model = dataclasses.replace(tables(list(range(LEFT)), list(range(LEFT)), 5), shared=True)
    names = ids("l", list(range(LEFT)))
    model = dataclasses.replace(model, right=dataclasses.replace(model.left, bias=model.right.bias))
    order = draw.permutation(LEFT)
    right_ids = names.take(pa.array(order))
    train, held = draw.integers(0, LEFT, (2, 20)), draw.integers(0, LEFT, (2, 40))
    rows = [Rows(left.astype(np.int32), np.argsort(order)[right].astype(np.int32)) for left, right in (train, held)]
    lines = ["who,what", *(f"l{a},l{b}" for a in range(LEFT) for b in range(LEFT) if (a * b) % 3 == 0)]
    (tmp_path / "candidates.csv").write_text("\n".join(lines) + "\n")
    given = Candidates(
        path=str(tmp_path / "candidates.csv"), columns=ColumnSettings(left="who", right="what"), fingerprint=""
    )
    task = Task.of(CodedPairs(names, right_ids, *rows), 0.0, given, shared=True)
    ranker = of_tables(model, CodedPairs(names, right_ids, *rows), task)
    whole, sampled = ranker.rank(task, depth), ranker.rank_candidates(task)
    seen = set(zip(*train.tolist(), strict=True)) | {(a, a) for a in range(LEFT)}
    scores = model.left.vectors[:LEFT] @ model.right.vectors[:LEFT].T + model.right.bias[:LEFT]
    for place, left in enumerate(task.left.tolist()):
        wanted = {b for a, b in zip(*held.tolist(), strict=True) if a == left and (a, b) not in seen}
        catalogue = sorted((b for b in range(LEFT) if (left, b) not in seen), key=lambda b: -scores[left, b])
        ranks = [rank for rank, b in enumerate(catalogue, 1) if b in wanted and (depth is None or rank <= depth)]
        assert whole.rank[whole.entity == place].tolist() == ranks
        among = [b for b in range(LEFT) if b in wanted or ((left * b) % 3 == 0 and b != left)]
        among.sort(key=lambda b: -scores[left, b])
        ranks = [rank for rank, b in enumerate(among, 1) if b in wanted]
        assert sampled.rank[sampled.entity == place].tolist() == ranks
    # A pair of an entity with itself is nothing to find.
    assert set(task.left.tolist()) == {a for a, b in zip(*held.tolist(), strict=True) if (a, b) not in seen}


def test_cold_metrics_rank_entities_without_training_pairs_among_themselves(pairs: CodedPairs) -> None:
    model = tables(list(range(LEFT)), list(range(RIGHT)), seed=3)
    task = Task.of(pairs, 0.5, None)
    others = {POPULARITY: of_popularity(pairs, task)}
    figures = measure_cold(["recall@1", "mrr"], of_tables(model, pairs, task), others, task, pairs)
    cold = sorted(set(range(RIGHT)) - set(pairs.train.right.tolist()))
    scores = model.left.vectors[:LEFT] @ model.right.vectors[:RIGHT].T + model.right.bias[:RIGHT]
    wanted: dict[int, set[int]] = {}
    for left, right, score in zip(pairs.eval.left, pairs.eval.right, pairs.eval.score, strict=True):
        if score > 0.5 and right in cold:
            wanted.setdefault(int(left), set()).add(int(right))
    assert wanted, "the planted pairs have cold positives"
    recalls, reciprocals = [], []
    for left, relevant in wanted.items():
        order = sorted(cold, key=lambda right: -scores[left, right])
        recalls.append(float(order[0] in relevant) / min(len(relevant), 1))
        reciprocals.append(1 / (1 + min(order.index(right) for right in relevant)))
    recall, mrr = (find(figures, metric) for metric in ("cold_recall@1", "cold_mrr"))
    assert recall.count == len(wanted)
    assert recall.value == pytest.approx(np.mean(recalls))
    assert mrr.value == pytest.approx(np.mean(reciprocals))


def test_without_cold_positives_cold_metrics_have_a_reason(pairs: CodedPairs) -> None:
    model = tables(list(range(LEFT)), list(range(RIGHT)), seed=3)
    seen = dataclasses.replace(pairs, eval=Rows(pairs.train.left[:5], pairs.train.right[5:10], np.ones(5, np.float32)))
    task = Task.of(seen, 0.5, None)
    (figure,) = measure_cold(["mrr"], of_tables(model, seen, task), {}, task, seen)
    assert figure.value is None
    assert figure.missing
