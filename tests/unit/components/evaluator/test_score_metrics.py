"""Score metrics against scikit-learn and SciPy, weights against repeated rows, slices, baselines and intervals."""

from __future__ import annotations

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
from components.evaluator.metrics import ADDITIVE, Answers, Labels, Order, ranked, spearman
from components.evaluator.names import SCORE_METRICS
from components.evaluator.slices import LEFT, SLICES, Cuts
from trainer.data.examples import Rows

# Few distinct numbers, so that many values are equal.
NUMBERS = st.integers(-4, 4).map(float)
ROWS = st.lists(st.tuples(NUMBERS, NUMBERS, st.integers(0, 3)), min_size=2, max_size=30)


def columns(rows: list[tuple[float, float, int]]) -> tuple[Labels, Answers, np.ndarray]:
    label, value, weight = (np.array(column, np.float64) for column in zip(*rows, strict=True))
    return Labels(label, label > 0), Answers(value, value - 0.5), weight


def additive(metric: str, labels: Labels, answers: Answers) -> float:
    return float(ADDITIVE[metric].of_means(ADDITIVE[metric].parts(labels, answers).means()))


@given(ROWS)
def test_additive_metrics_match_scikit_learn(rows: list) -> None:
    labels, answers, _ = columns(rows)
    mean_squared = sklearn.metrics.mean_squared_error(labels.value, answers.value)
    assert additive("rmse", labels, answers) == pytest.approx(math.sqrt(mean_squared))
    absolute = sklearn.metrics.mean_absolute_error(labels.value, answers.value)
    assert additive("mae", labels, answers) == pytest.approx(absolute)
    accuracy = sklearn.metrics.accuracy_score(labels.positive, answers.score > 0)
    assert additive("sign_accuracy", labels, answers) == pytest.approx(accuracy)


@given(ROWS)
def test_weighted_auc_matches_repeated_rows(rows: list) -> None:
    labels, answers, weight = columns(rows)
    repeated = np.repeat(np.arange(len(rows)), weight.astype(int))
    assume(len(set(labels.positive[repeated].tolist())) == 2)
    found = ranked("auc", labels, answers)(weight)
    theirs = sklearn.metrics.roc_auc_score(labels.positive, answers.score, sample_weight=weight)
    assert found == pytest.approx(theirs)
    assert found == pytest.approx(sklearn.metrics.roc_auc_score(labels.positive[repeated], answers.score[repeated]))


@given(ROWS)
def test_weighted_spearman_matches_scipy(rows: list) -> None:
    labels, answers, weight = columns(rows)
    repeated = np.repeat(np.arange(len(rows)), weight.astype(int))
    assume(len(set(labels.value[repeated])) > 1 and len(set(answers.value[repeated])) > 1)
    found = spearman(Order.of(answers.value), Order.of(labels.value), weight)
    assert found == pytest.approx(scipy.stats.spearmanr(answers.value[repeated], labels.value[repeated])[0], abs=1e-9)


@given(ROWS, st.randoms(use_true_random=False))
def test_slice_is_ranked_as_its_own_rows(rows: list, draw: Any) -> None:
    labels, answers, weight = columns(rows)
    mask = np.array([draw.random() < 0.5 for _ in rows], bool)
    for metric in ("auc", "spearman"):
        taken = ranked(metric, labels.take(mask), answers.take(mask))(weight[mask])
        own = ranked(
            metric, Labels(labels.value[mask], labels.positive[mask]), Answers(answers.value[mask], answers.score[mask])
        )
        assert taken == pytest.approx(own(weight[mask]), nan_ok=True)


def test_constant_values_have_no_signal() -> None:
    labels = Labels(np.array([1.0, 2.0]), np.array([True, True]))
    constant = Answers(np.ones(2), np.ones(2))
    assert math.isnan(ranked("auc", labels, constant)(np.ones(2)))
    assert ranked("spearman", labels, constant)(np.ones(2)) == 0
    assert math.isnan(ranked("spearman", Labels(np.ones(2), labels.positive), labels)(np.ones(2)))


def test_calibration_of_planted_bins() -> None:
    """Ten bins of ten rows. The values of one bin are 0.5 too high, those of another 1.5 too low."""
    value = np.repeat(np.arange(10.0), 10)
    label = value - np.where(value == 3, 0.5, 0) + np.where(value == 7, 1.5, 0)
    # Within a bin, opposite errors cancel.
    label[::2] += 1
    label[1::2] -= 1
    found = additive("calibration", Labels(label, label > 0), Answers(value, value))
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
    assert baselines.mean(pairs).tolist() == pytest.approx([np.mean([row[2] for row in train])] * 3)
    found = baselines.biases(pairs)
    assert found[0] == pytest.approx(3 + left[1] + right[2], abs=0.1)
    # An unseen left entity has no bias. A pair of two unseen entities gets the mean.
    assert found[1] == pytest.approx(baselines.mean(pairs)[0] + right[2] - right.mean(), abs=0.1)
    assert found[2] == pytest.approx(baselines.mean(pairs)[0])


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
        needed = (figure.metric, figure.slice) in wanted or (figure.slice == "" and figure.metric in ADDITIVE)
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
        if figure.metric == "rmse":
            found.append(np.sqrt(np.mean((rows.candidate.value[chosen] - rows.labels.value[chosen]) ** 2)))
        else:
            found.append(sklearn.metrics.roc_auc_score(rows.labels.positive[chosen], rows.candidate.score[chosen]))
    low, high = np.percentile(found, [2.5, 97.5])
    return float(low), float(high)


@pytest.mark.parametrize("metric", ["rmse", "auc"])
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
