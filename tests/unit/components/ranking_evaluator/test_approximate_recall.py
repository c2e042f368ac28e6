"""The recall of approximate rankings, measured with the signatures of a model."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pydantic
import pytest
import tensorflow as tf

from components.evaluator.rules import Rule, judge
from components.ranking_evaluator import approximate
from components.ranking_evaluator.approximate import measure_approximate
from tests.unit.trainer.planted_model import LEFT, Planted

pytestmark = pytest.mark.tensorflow

METRICS = ("approximate_recall@10", "approximate_recall@2")


def _answers(rows: list[list[int]]):
    return lambda left_id, k, **_: {
        "right_id": tf.strings.as_string(tf.gather(tf.constant(rows), tf.strings.to_number(left_id, tf.int32))[:, :k])
    }


def test_recall_is_share_of_exact_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    exact, found = np.tile(np.arange(10), (40, 1)), np.tile(np.arange(10), (40, 1))
    found[:20, 9] = 99  # one of ten is missed
    found[:10, :2] = [[1, 0]]  # another order is no miss
    found[30:, 0] = 77
    signatures = {
        "similar_right": _answers(exact.tolist()), "similar_right_approximate": _answers(found.tolist())
    }  # fmt: skip
    monkeypatch.setattr(tf.saved_model, "load", lambda _: SimpleNamespace(signatures=signatures))
    ten, two = measure_approximate(METRICS, "model", pa.array([b"%d" % row for row in range(40)]))
    assert (ten.metric, ten.slice, ten.count) == ("approximate_recall@10", "", 40)
    assert ten.value == pytest.approx(1 - 30 / 400) and two.value == pytest.approx(1 - 10 / 80)
    assert ten.low is not None and ten.high is not None and ten.low < ten.value < ten.high
    (result,) = judge([Rule(metric="approximate_recall@10", above=0.95)], [ten])
    assert not result.ok and result.value == ten.value


def test_sample_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(approximate, "_QUERIES", 7)
    rows = _answers([[0, 1, 2]] * 30)
    signatures = {"similar_right": rows, "similar_right_approximate": rows}
    monkeypatch.setattr(tf.saved_model, "load", lambda _: SimpleNamespace(signatures=signatures))
    (figure,) = measure_approximate(["approximate_recall@3"], "model", pa.array([b"%d" % row for row in range(30)]))
    assert (figure.count, figure.value) == (7, 1.0)


def test_signatures_of_model_are_called(planted: Planted) -> None:
    figures = measure_approximate(METRICS, str(planted.model), pa.array([*LEFT, b"never seen"]))
    assert [figure.value for figure in figures] == [1.0, 1.0]
    assert figures[0].count == len(LEFT) + 1


def test_model_without_index_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tf.saved_model, "load", lambda _: SimpleNamespace(signatures={"similar_right": None}))
    (figure,) = measure_approximate(METRICS[:1], "model", pa.array([b"a"]))
    (result,) = judge([Rule(metric=METRICS[0], above=0.95)], [figure])
    assert result.ok and result.value is None and "publish.approximate" in str(result)


@pytest.mark.parametrize(
    "rule",
    [
        {"metric": "approximate_recall@10", "better_than": "baseline"},
        {"metric": "approximate_recall@10", "above": 0.9, "slice": "left_head"},
        {"metric": "approximate_ndcg@10", "above": 0.9},
        {"metric": "approximate_recall", "above": 0.9},
    ],
)
def test_rules_that_cannot_be_measured_are_refused(rule: dict) -> None:
    with pytest.raises(pydantic.ValidationError, match=r"approximate_recall@(10|K)"):
        Rule(**rule)
