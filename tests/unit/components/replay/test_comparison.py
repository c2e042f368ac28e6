"""The figures of a replay, and the rules on them."""

from __future__ import annotations

import math
import time
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.replay.comparison import Comparison, compare
from components.replay.rules import judge
from components.replay.sample import LoggedRequest
from components.replay.settings import ReplaySettings
from components.replay.words import describe

pytestmark = pytest.mark.tensorflow

SCORE = LoggedRequest("score", {"left_id": np.array([b"a", b"b"], object), "right_id": np.array([b"x", b"x"], object)})
TOP = LoggedRequest("similar_right", {"left_id": np.array([b"a"], object), "k": np.array(3)})


class Planted:
    """A model with planted answers. An exception is raised."""

    def __init__(self, seconds: float = 0.0, **answers: Any) -> None:
        self._seconds, self._answers = seconds, answers

    def predict(self, signature: str, inputs: dict[str, Any]) -> dict[str, Any]:
        time.sleep(self._seconds)
        answer = self._answers[signature]
        if isinstance(answer, Exception):
            raise answer
        return answer


def _scores(*scores: float, known: tuple[bool, ...] = (True, True)) -> dict[str, Any]:
    flags = np.array(known)
    return {"score": np.float32(scores), "left_known": flags, "right_known": np.array([True, True])}


def _ranked(*ids: bytes) -> dict[str, Any]:
    return {
        "right_id": np.array([ids], object),
        "score": np.float32([range(len(ids))]),
        "known": np.array([True]),
    }


def _compare(candidate: Planted, served: Planted, *requests: LoggedRequest) -> dict[str, Any]:
    return compare(candidate, served, requests).figures()  # type: ignore[arg-type]


def test_changes_of_scores_are_measured() -> None:
    figures = _compare(Planted(score=_scores(1.5, -0.25, known=(True, False))), Planted(score=_scores(1.0, 0.5)), SCORE)
    assert figures["scores"] == {"pairs": 2, "mean_change": 0.625, "max_change": 0.75, "sign_changes": 0.5}
    assert figures["ids"] == {"requested": 4, "unknown": 0.25, "unknown_served": 0.0, "lost": 0.25}
    assert "rankings" not in figures


def test_rankings_are_compared_as_sets_and_by_their_first_id() -> None:
    figures = _compare(
        Planted(similar_right=_ranked(b"y", b"x", b"w")), Planted(similar_right=_ranked(b"x", b"y", b"z")), TOP
    )
    assert figures["rankings"] == {"lists": 1, "overlap": pytest.approx(2 / 3), "first_changed": 1.0}
    assert "scores" not in figures, "scores of rankings are those of other pairs"


def test_empty_places_of_a_ranking_are_no_ids() -> None:
    figures = _compare(
        Planted(similar_right=_ranked(b"x", b"", b"")), Planted(similar_right=_ranked(b"x", b"", b"")), TOP
    )
    assert figures["rankings"]["overlap"] == 1.0


@given(st.lists(st.tuples(st.permutations("abcd"), st.permutations("abcdef"), st.integers(0, 4)), min_size=1))
def test_overlap_is_that_of_a_plain_count(lists: list[tuple[list[str], list[str], int]]) -> None:
    comparison, wanted = Comparison(), []
    for first, second, length in lists:
        new, old = (["".join(names[i : i + 1]) for i in range(length)] for names in (first, second))
        rows = [{"right_id": np.array([[name.encode() for name in names]], object)} for names in (new, old)]
        comparison.add(*rows)
        if length:
            wanted.append(sum(name in old for name in new) / length)
    assert comparison.overlaps == pytest.approx(wanted)


@pytest.mark.parametrize(
    ("answers", "fault"),
    [
        ({}, "score: the model has no signature or input 'score'"),
        ({"score": ValueError("wrong shape\nmore")}, "score: wrong shape"),
        ({"score": _scores(math.nan, 1.0)}, "score: an output is not a number"),
        ({"score": {"score": np.float32([1, 2])}}, "score: the output left_known is missing"),
        ({"score": _scores(1.0) | {"left_known": np.array([True])}}, "score: the output score has shape [1]"),
    ],
    ids=["signature", "refused", "nan", "output", "rows"],
)
def test_request_that_only_the_candidate_refuses_is_a_failure(answers: dict[str, Any], fault: str) -> None:
    figures = _compare(Planted(**answers), Planted(score=_scores(1.0, 1.0)), SCORE)
    assert (figures["replayed"], figures["compared"], figures["failed"]) == (1, 0, 1)
    assert figures["fault"].startswith(fault)
    (rule,) = judge(figures, ReplaySettings(log="/l", max_failed=0.0))
    assert (rule.value, rule.ok) == (1.0, False)


def test_request_that_the_served_version_refuses_is_no_failure() -> None:
    figures = _compare(Planted(score=_scores(1.0, 1.0)), Planted(), SCORE)
    assert (figures["unanswered"], figures["failed"], figures["compared"]) == (1, 0, 0)


def test_times_are_a_ratio_of_the_same_requests() -> None:
    figures = _compare(Planted(0.006, score=_scores(1.0, 1.0)), Planted(0.002, score=_scores(1.0, 1.0)), SCORE, SCORE)
    assert 1.5 < figures["latency"]["ratio"] < 4
    assert figures["latency"]["p50_ms"] >= 6 > figures["latency"]["p50_served_ms"] >= 2


def test_replay_ends_at_its_time_limit() -> None:
    model = Planted(0.02, score=_scores(1.0, 1.0))
    found = compare(model, model, [SCORE] * 1000, limit=0.2)  # type: ignore[arg-type]
    assert 1 <= found.replayed < 20


FIGURES = {
    "compared": 9, "failed": 1, "scores": {"mean_change": 0.5, "sign_changes": 0.25}, "rankings": {"overlap": 0.75},
    "ids": {"lost": 0.125}, "latency": {"ratio": 2.0},
}  # fmt: skip


@pytest.mark.parametrize(
    ("key", "value", "worse"),
    [
        ("min_requests", 9, 10), ("max_failed", 0.1, 0.09), ("max_score_change", 0.5, 0.49),
        ("max_sign_changes", 0.25, 0.24), ("min_rank_overlap", 0.75, 0.76), ("max_lost_ids", 0.125, 0.12),
        ("max_latency_ratio", 2.0, 1.9),
    ],
)  # fmt: skip
def test_rule_holds_up_to_its_bound(key: str, value: float, worse: float) -> None:
    (held,), (broken,) = (judge(FIGURES, ReplaySettings(log="/l", **{key: bound})) for bound in (value, worse))
    assert held.record() == {"rule": f"publish.replay.{key}", "value": value, "bound": value, "ok": True}
    assert not broken.ok and str(broken).startswith(f"publish.replay.{key}: ")


def test_rules_without_requests_hold_except_their_number() -> None:
    bounds = {"max_score_change": 0.0, "min_rank_overlap": 1.0, "max_latency_ratio": 0.1, "max_failed": 0.0}
    assert all(rule.ok for rule in judge({}, ReplaySettings(log="/l", **bounds)))
    (rule,) = judge({}, ReplaySettings(log="/l", min_requests=1))
    assert not rule.ok
    assert judge(FIGURES, ReplaySettings(log="/l")) == [], "without a bound, a figure is only reported"


def test_line_has_the_figures() -> None:
    counts = {"served": 3, "damaged_files": 1, "replayed": 10}
    assert describe(FIGURES | counts) == (
        "9 requests compared with version 3: 1 refused, scores change by 0.5, 75% of ranked ids in common, "
        "12.5% of ids lost, 2.00 times the time, 1 damaged log files"
    )
