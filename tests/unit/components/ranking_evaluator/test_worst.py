"""The held-out positives with the lowest scores, against plain Python."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from components.coded_pairs import CodedPairs
from components.ranking_evaluator.task import Task, of_tables
from components.ranking_evaluator.worst import lowest
from trainer.data.examples import Rows
from trainer.export.tables import Side, Tables

pytestmark = pytest.mark.tensorflow

LEFT, RIGHT = 6, 12


def _ids(side: str, count: int) -> pa.Array:
    return pa.array([f"{side}{number}".encode() for number in range(count)], pa.large_binary())


def _model(draw: np.random.Generator, known: int) -> Tables:
    def side(name: str, count: int) -> Side:
        return Side(
            _ids(name, count), draw.normal(size=(count + 1, 3)).astype("f"), draw.normal(size=count + 1).astype("f")
        )

    return Tables(side("l", LEFT), side("r", known), 0.25)


def test_lowest_scores_and_unseen_ranks() -> None:
    draw = np.random.default_rng(5)
    every = draw.permutation(LEFT * RIGHT)
    train, held = every[:30], every[30:]
    columns = [Rows((of // RIGHT).astype(np.int32), (of % RIGHT).astype(np.int32), None) for of in (train, held)]
    pairs = CodedPairs(_ids("l", LEFT), _ids("r", RIGHT), *columns)
    model = _model(draw, RIGHT - 1)  # the model does not know the last right id
    task = Task.of(pairs, 0.0, None)
    shift = model.left.biases_of(pairs.left_ids.take(pa.array(task.left))) + np.float32(model.offset)
    found = lowest(of_tables(model, pairs, task), shift, task, pairs, 7).to_pylist()

    def score(left: int, right: int) -> float:
        own = float(model.left.vectors[left] @ model.right.vectors[right])
        return own + float(model.left.bias[left]) + float(model.right.bias[right]) + model.offset

    seen = {divmod(int(pair), RIGHT) for pair in train}
    expected = sorted(
        (score(*divmod(int(pair), RIGHT)), divmod(int(pair), RIGHT)) for pair in held if pair % RIGHT < RIGHT - 1
    )
    assert [(row["left_id"], row["right_id"]) for row in found] == [
        (f"l{left}".encode(), f"r{right}".encode()) for _, (left, right) in expected[:7]
    ]
    for row, (value, (left, _)) in zip(found, expected, strict=False):
        assert row["score"] == pytest.approx(value, abs=1e-5)
        better = [r for r in range(RIGHT - 1) if (left, r) not in seen and score(left, r) > value + 1e-7]
        assert row["rank"] == 1 + len(better)
        assert row["left_pairs"] == sum(one == left for one, _ in seen)


def test_no_positives_give_no_rows() -> None:
    none = Rows(np.zeros(0, np.int32), np.zeros(0, np.int32), None)
    pairs = CodedPairs(
        _ids("l", LEFT), _ids("r", RIGHT), Rows(np.zeros(1, np.int32), np.zeros(1, np.int32), None), none
    )
    task = Task.of(pairs, 0.0, None)
    model = _model(np.random.default_rng(1), RIGHT)
    assert lowest(of_tables(model, pairs, task), np.zeros(0, np.float32), task, pairs, 7).num_rows == 0
