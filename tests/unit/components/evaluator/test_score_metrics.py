"""Score metrics against scikit-learn and SciPy, weights against repeated rows, slices, baselines and intervals."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import scipy.stats
import sklearn.metrics
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from components.coded_pairs import CodedPairs
from components.evaluator import baselines, slices
from components.evaluator.figures import Figure, find
from components.evaluator.measure import Measured, measure
from components.evaluator.metrics import METRICS, Answers, Labels, Outcome
from components.evaluator.names import SCORE_METRICS
from components.evaluator.slices import LEFT, SLICES, Cuts
from trainer.data.examples import Rows

# Few distinct numbers, so that many values are equal.
NUMBERS = st.integers(-4, 4).map(float)
ROWS = st.lists(st.tuples(NUMBERS, NUMBERS, st.integers(0, 3)), min_size=2, max_size=30)


def columns(rows: list[tuple[float, float, int]]) -> tuple[Labels, Answers, np.ndarray]:
    label, value, weight = (np.array(column, np.float64) for column in zip(*rows, strict=True))
    return Labels(label, label > 0), Answers(value, value - 0.5), weight


def value_of(metric: str, labels: Labels, answers: Answers) -> float:
    return METRICS[metric].value(Outcome(labels, answers))


def weighted(labels: Labels, weight: np.ndarray) -> Labels:
    return dataclasses.replace(labels, weight=weight)


@given(ROWS)
def test_means_match_scikit_learn(rows: list) -> None:
    labels, answers, _ = columns(rows)
    mean_squared = sklearn.metrics.mean_squared_error(labels.value, answers.value)
    assert value_of("rmse", labels, answers) == pytest.approx(math.sqrt(mean_squared))
    absolute = sklearn.metrics.mean_absolute_error(labels.value, answers.value)
    assert value_of("mae", labels, answers) == pytest.approx(absolute)
    accuracy = sklearn.metrics.accuracy_score(labels.positive, answers.score > 0)
    assert value_of("sign_accuracy", labels, answers) == pytest.approx(accuracy)


@given(ROWS)
def test_weighted_auc_matches_repeated_rows(rows: list) -> None:
    labels, answers, weight = columns(rows)
    repeated = np.repeat(np.arange(len(rows)), weight.astype(int))
    assume(len(set(labels.positive[repeated].tolist())) == 2)
    found = value_of("auc", weighted(labels, weight), answers)
    theirs = sklearn.metrics.roc_auc_score(labels.positive, answers.score, sample_weight=weight)
    assert found == pytest.approx(theirs)
    assert found == pytest.approx(sklearn.metrics.roc_auc_score(labels.positive[repeated], answers.score[repeated]))


@given(ROWS)
def test_weighted_spearman_matches_scipy(rows: list) -> None:
    labels, answers, weight = columns(rows)
    repeated = np.repeat(np.arange(len(rows)), weight.astype(int))
    assume(len(set(labels.value[repeated])) > 1 and len(set(answers.value[repeated])) > 1)
    found = value_of("spearman", weighted(labels, weight), answers)
    assert found == pytest.approx(scipy.stats.spearmanr(answers.value[repeated], labels.value[repeated])[0], abs=1e-9)


@given(ROWS, st.randoms(use_true_random=False))
def test_slice_is_ranked_as_its_own_rows(rows: list, draw: Any) -> None:
    labels, answers, weight = columns(rows)
    taken_rows = np.array([row for row in range(len(rows)) if draw.random() < 0.5], int)
    assume(len(taken_rows))
    of_slice = weighted(labels, weight).take(taken_rows), answers.take(taken_rows)
    label, positive = labels.value[taken_rows], labels.positive[taken_rows]
    value, score = answers.value[taken_rows], answers.score[taken_rows]
    own = Labels(label, positive, weight[taken_rows]), Answers(value, score)
    for metric in ("auc", "spearman"):
        assert value_of(metric, *of_slice) == pytest.approx(value_of(metric, *own), nan_ok=True)


def test_small_slice_is_ranked_as_its_own_rows() -> None:
    """Of many distinct values, only those of the slice are kept."""
    label, value = np.random.default_rng(5).normal(0, 1, (2, 500))
    rows = np.array([3, 77, 400, 401])
    labels, answers = Labels(label, label > 0), Answers(value, value)
    taken = labels.take(rows), answers.take(rows)
    assert [len(column.levels.values) for column in taken] == [4, 4]
    expected = scipy.stats.spearmanr(label[rows], value[rows])[0]
    assert value_of("spearman", *taken) == pytest.approx(expected)


@given(st.lists(st.tuples(NUMBERS, NUMBERS, st.integers(1, 3)), min_size=2, max_size=30), st.data())
@pytest.mark.parametrize("metric", ["rmse", "mae", "sign_accuracy", "auc", "spearman"])
def test_influence_is_derivative_by_weight(metric: str, rows: list, data: st.DataObject) -> None:
    labels, answers, weight = columns(rows)
    before = value_of(metric, weighted(labels, weight), answers)
    assume(math.isfinite(before) and (metric != "rmse" or before > 0))
    influence = METRICS[metric].influence(Outcome(weighted(labels, weight), answers))
    assert influence.sum() == pytest.approx(0, abs=1e-12)
    row, small = data.draw(st.integers(0, len(rows) - 1)), 1e-6
    # The difference quotient in both directions has an error of the order of its square.
    after, other = (
        value_of(metric, weighted(labels, weight * (1 + sign * small * (np.arange(len(rows)) == row))), answers)
        for sign in (1, -1)
    )
    assert influence[row] == pytest.approx((after - other) / (2 * small), abs=1e-6)


def test_constant_values_have_no_signal() -> None:
    labels = Labels(np.array([1.0, 2.0]), np.array([True, True]))
    constant = Answers(np.ones(2), np.ones(2))
    assert math.isnan(value_of("auc", labels, constant))
    assert value_of("spearman", labels, constant) == 0
    assert math.isnan(value_of("spearman", Labels(np.ones(2), labels.positive), constant))


def test_calibration_of_planted_bins() -> None:
    """Ten bins of ten rows. The values of one bin are 0.5 too high, those of another 1.5 too low."""
    value = np.repeat(np.arange(10.0), 10)
    label = value - np.where(value == 3, 0.5, 0) + np.where(value == 7, 1.5, 0)
    # Within a bin, opposite errors cancel.
    label[::2] += 1
    label[1::2] -= 1
    found = value_of("calibration", Labels(label, label > 0), Answers(value, value))
    assert found == pytest.approx((0.5 + 1.5) / 10)


@given(st.lists(st.integers(0, 50), min_size=1, max_size=40))
def test_head_and_middle_are_minimal_thirds(counts: list[int]) -> None:
    found = np.array(counts)
    assume(found.sum() > 0)
    cuts = Cuts.of(found)
    assert cuts.head >= cuts.middle >= 1
    total = found.sum()
    for cut, share in ((cuts.head, 1 / 3), (cuts.middle, 2 / 3)):
        assert found[found >= cut].sum() >= share * total - 1e-6
        assert found[found > cut].sum() < share * total + 1e-6
    masks = slices.popularity(LEFT, found, cuts)
    assert np.sum(list(masks.values()), axis=0).tolist() == [1] * len(counts)
    assert masks["left_tail"][found == 0].all()


def coded(train: list[tuple[int, int, float]], held_out: list[tuple[int, int, float]]) -> CodedPairs:
    def split(rows: list[tuple[int, int, float]]) -> Rows:
        left, right, score = zip(*rows, strict=True)
        return Rows(np.array(left, np.int32), np.array(right, np.int32), np.array(score, np.float32))

    ids = [pa.array([f"{side}{i}".encode() for i in range(30)], pa.large_binary()) for side in "lr"]
    return CodedPairs(ids[0], ids[1], split(train), split(held_out))


def test_baselines_recover_and_shrink_biases() -> None:
    draw = np.random.default_rng(1)
    left, right = draw.normal(0, 1, 20), draw.normal(0, 1, 20)
    train = [(i, j, 3 + left[i] + right[j]) for i in range(20) for j in range(20) for _ in range(20)]
    pairs = coded(train, [(1, 2, 0.0), (25, 2, 0.0), (25, 26, 0.0)])
    mean = baselines.mean(pairs, 3.0, 1.0).value
    assert mean.tolist() == pytest.approx([np.mean([row[2] for row in train])] * 3)
    found = baselines.biases(pairs, 3.0, 1.0).value
    assert found[0] == pytest.approx(3 + left[1] + right[2], abs=0.1)
    # An unseen left entity has no bias. A pair of two unseen entities gets the mean.
    assert found[1] == pytest.approx(mean[0] + right[2] - right.mean(), abs=0.1)
    assert found[2] == mean[0]


WEIGHTED = st.lists(st.tuples(NUMBERS, NUMBERS, st.integers(1, 3), st.integers(0, 4)), min_size=2, max_size=25)


@settings(deadline=None, max_examples=30)
@given(WEIGHTED, st.sampled_from(SCORE_METRICS))
def test_whole_weight_is_as_many_rows(rows: list, metric: str) -> None:
    """Values, intervals and comparisons of every metric."""
    label, value, weight, entity = (np.array(column, np.float64) for column in zip(*rows, strict=True))
    entity = np.unique(entity, return_inverse=True)[1]

    def figures(which: np.ndarray, of: np.ndarray | None) -> list[Figure]:
        labels = Labels(label[which], label[which] > 0, of)
        others = {"mean": Answers(np.ones(len(which)), np.ones(len(which)))}
        answers = Answers(value[which], value[which] - 0.5)
        slice_ = {"positive": labels.positive}
        wanted = {(metric, ""): frozenset(others), (metric, "positive"): frozenset()}
        return measure(Measured(labels, answers, others, entity[which]), slice_, wanted)

    each = np.arange(len(rows))
    for weighted, repeated in zip(
        figures(each, weight), figures(np.repeat(each, weight.astype(int)), None), strict=True
    ):
        assert (weighted.value, weighted.low, weighted.high) == pytest.approx(
            (repeated.value, repeated.low, repeated.high), abs=1e-9
        )
        (mine,), (theirs,) = weighted.others.values(), repeated.others.values()
        assert (mine.value, mine.low, mine.high) == pytest.approx((theirs.value, theirs.low, theirs.high), abs=1e-9)


@given(WEIGHTED, st.floats(1e-6, 1e6))
def test_metrics_do_not_depend_on_unit_of_weights(rows: list, unit: float) -> None:
    label, value, weight, _ = (np.array(column, np.float64) for column in zip(*rows, strict=True))
    shares = weight / 7
    answers = Answers(value, value)
    for metric in ("rmse", "mae", "sign_accuracy", "calibration"):
        found = value_of(metric, Labels(label, label > 0, shares), answers)
        assert value_of(metric, Labels(label, label > 0, shares * unit), answers) == pytest.approx(found, rel=0.05)


def test_weighted_baselines_are_those_of_repeated_rows() -> None:
    draw = np.random.default_rng(4)
    left, right = draw.integers(0, 9, (2, 80))
    score, weight = draw.integers(1, 6, 80), draw.integers(1, 4, 80)
    rows = [*zip(left.tolist(), right.tolist(), score.tolist(), strict=True)]
    repeated = coded([row for row, count in zip(rows, weight.tolist(), strict=True) for _ in range(count)], rows)
    once = coded(rows, rows)
    weighted = dataclasses.replace(once, train=dataclasses.replace(once.train, weight=weight.astype(np.float32)))
    for baseline in (baselines.mean, baselines.biases):
        mine, theirs = (baseline(pairs, 3.0, 1.0) for pairs in (weighted, repeated))
        np.testing.assert_allclose(mine.value, theirs.value, rtol=1e-6)
        np.testing.assert_allclose(mine.score, theirs.score, rtol=1e-5, atol=1e-6)
    for side in ("left", "right"):
        assert weighted.weights(side).tolist() == repeated.counts(side).tolist() == repeated.weights(side).tolist()
        assert Cuts.of(weighted.weights(side)) == Cuts.of(repeated.counts(side))


@settings(max_examples=200)
@given(st.lists(st.sampled_from([0.1, 0.2, 0.3, 1.7, 3.0, 4.0, 5.0, 1e6]), min_size=2, max_size=40), st.booleans())
def test_constant_has_the_sign_of_most_labels(scores: list[float], is_mean: bool) -> None:
    """Whatever the center: no sign comes from rounding."""
    pairs = coded([(0, 0, score) for score in scores], [(1, 1, score) for score in scores])
    label = pairs.eval.score.astype(np.float64)
    center = float(np.float32(label.mean() if is_mean else (label.min() + label.max()) / 2))
    labels = Labels(label, label > center)
    constant = baselines.mean(pairs, center, 1.0)
    share = labels.positive.mean()
    assert value_of("sign_accuracy", labels, constant) == pytest.approx(max(share, 1 - share))
    assert len(set(constant.value.tolist())) == 1
    if is_mean:
        # A model that predicts its center is no better than the mean: not even by a rounding error.
        model = Answers(
            np.full(len(label), np.float32(0) + np.float32(center)).astype(np.float64), np.zeros(len(label))
        )
        for metric in ("rmse", "mae", "calibration"):
            assert value_of(metric, labels, model) == value_of(metric, labels, constant)
        # An entity without training pairs has no bias, and the center has no sign.
        assert baselines.biases(pairs, center, 1.0).score.tolist() == [0.0] * len(label)


@given(ROWS, st.floats(0.5, 3))
def test_equal_ranks_have_no_correlation(rows: list, weight: float) -> None:
    """Also where rows of other values have no weight, as in a draw without their entity."""
    labels, answers, _ = columns(rows)
    weights = np.where(answers.value == answers.value[0], weight, 0)
    different = np.arange(float(len(rows)))
    found = value_of("spearman", Labels(different, labels.positive, weights), answers)
    assert found == 0 or (math.isnan(found) and (weights > 0).sum() == 1)
    assert math.isnan(
        value_of("spearman", Labels(answers.value, labels.positive, weights), Answers(different, different))
    )


@pytest.mark.parametrize(
    ("label", "metric", "words"),
    [
        ([1.0, 2.0], "auc", "auc needs both classes, and all 2 rows score above the center"),
        ([-1.0, 0.0], "auc", "auc needs both classes, and none of 2 rows scores above the center"),
        ([1.0, 1.0], "spearman", "spearman needs different scores, and all 2 rows have the same"),
        ([], "rmse", "no rows"),
        ([1.0, 2.0], "rmse", None),
    ],
)
def test_figure_without_a_value_says_why(label: list[float], metric: str, words: str | None) -> None:
    values = np.array(label)
    rows = Measured(Labels(values, values > 0), Answers(values, values), {}, np.zeros(len(label), np.int64))
    assert find(measure(rows, {}, {}), metric).missing == words


def rows_of(count: int = 600, entities: int = 40) -> Measured:
    draw = np.random.default_rng(2)
    label = draw.normal(0, 1, count)
    good, bad = label + draw.normal(0, 0.3, count), draw.normal(0, 1, count)
    labels = Labels(label, label > 0)
    others = {"mean": Answers(bad, bad), "last_blessed": Answers(good.copy(), good.copy())}
    return Measured(labels, Answers(good, good), others, draw.integers(0, entities, count))


def test_figures_and_wanted_intervals() -> None:
    rows = rows_of()
    masks = {name: np.arange(600) % (place + 2) == 0 for place, name in enumerate(SLICES)}
    masks["unknown"] = np.zeros(600, bool)
    wanted = {("auc", ""): frozenset({"mean", "last_blessed"}), ("rmse", "left_head"): frozenset({"mean"})}
    figures = measure(rows, masks, wanted)
    assert {(f.metric, f.slice) for f in figures} == {(m, s) for m in SCORE_METRICS for s in ("", *SLICES)}
    for figure in figures:
        needed = (figure.metric, figure.slice) in wanted or (
            figure.slice == "" and figure.metric not in ("auc", "spearman")
        )
        assert (figure.low is not None) == needed, figure
        if needed:
            assert figure.low <= figure.value <= figure.high
    empty = find(figures, "rmse", "unknown")
    assert (empty.count, empty.value) == (0, None)
    part = rows.take(masks["left_tail"])
    expected = np.sqrt(np.mean((part.candidate.value - part.labels.value) ** 2))
    assert find(figures, "rmse", "left_tail").value == pytest.approx(expected)


def test_differences_of_equal_and_worse_models() -> None:
    figures = measure(rows_of(), {}, {("auc", ""): frozenset({"mean", "last_blessed"})})
    for metric in ("rmse", "auc"):
        figure = find(figures, metric)
        assert (figure.others["last_blessed"].low, figure.others["last_blessed"].high) == (0, 0)
    assert find(figures, "rmse").others["mean"].high < 0
    assert find(figures, "auc").others["mean"].low > 0


def plain_bootstrap(figure: Figure, rows: Measured, draws: int = 400) -> tuple[float, float]:
    """Draws entities one by one in a loop, concatenates their rows, and computes the error."""
    draw = np.random.default_rng(9)
    of = [np.flatnonzero(rows.entity == entity) for entity in range(rows.entity.max() + 1)]
    found = []
    for _ in range(draws):
        chosen = np.concatenate([of[entity] for entity in draw.integers(0, len(of), len(of))])
        if figure.metric == "spearman":
            found.append(scipy.stats.spearmanr(rows.labels.value[chosen], rows.candidate.value[chosen])[0])
        elif figure.metric == "rmse":
            found.append(np.sqrt(np.mean((rows.candidate.value[chosen] - rows.labels.value[chosen]) ** 2)))
        else:
            found.append(sklearn.metrics.roc_auc_score(rows.labels.positive[chosen], rows.candidate.score[chosen]))
    low, high = np.percentile(found, [2.5, 97.5])
    return float(low), float(high)


@pytest.mark.parametrize("metric", ["rmse", "auc", "spearman"])
def test_intervals_match_plain_bootstrap(metric: str) -> None:
    rows = rows_of(400, 25)
    figure = find(measure(rows, {}, {(metric, ""): frozenset()}), metric)
    low, high = plain_bootstrap(figure, rows)
    assert (figure.low, figure.high) == pytest.approx((low, high), abs=0.25 * (high - low))


@settings(deadline=None)
@given(ROWS)
def test_slices_cover_every_row(rows: list) -> None:
    labels, answers, _ = columns(rows)
    measured = Measured(labels, answers, {}, np.arange(len(rows)))
    figures = measure(measured, {"positive": labels.positive, "negative": ~labels.positive}, {})
    parts = [find(figures, "mae", name) for name in ("positive", "negative")]
    total = sum(part.count * part.value for part in parts if part.value is not None)
    assert total / len(rows) == pytest.approx(find(figures, "mae").value)


def test_both_directions_are_drawn_together_in_one_table() -> None:
    """The right ids have another order than the left ids, and two ids occur on one side only."""
    left_ids, right_ids = (pa.array(ids, pa.large_binary()) for ids in ([b"a", b"b", b"c"], [b"d", b"c", b"a", b"b"]))
    held = [("a", "b"), ("b", "a"), ("c", "d"), ("c", "a"), ("a", "c"), ("b", "b")]
    left = np.array([left_ids.to_pylist().index(a.encode()) for a, _ in held], np.int32)
    right = np.array([right_ids.to_pylist().index(b.encode()) for _, b in held], np.int32)
    pairs = CodedPairs(left_ids, right_ids, Rows(left, right), Rows(left, right))
    a, b, c = range(3)
    assert pairs.observed_entities(shared=True).tolist() == [a, a, c, a, a, b]
    assert pairs.observed_entities(shared=False).tolist() == [a, b, c, c, a, b]
