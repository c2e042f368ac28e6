"""Light graph convolution: averages over neighborhoods, and a softmax over the whole catalog."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse
import tensorflow as tf

from trainer.data.pairs import Pairs
from trainer.gradient import light_gcn
from trainer.gradient.light_gcn import LightGcn, softmax_loss
from trainer.gradient.neighborhoods import Neighborhoods
from trainer.model.table_sizes import TableSizes
from trainer.settings import ModelSettings, TrainSettings

pytestmark = pytest.mark.tensorflow

SIZES = TableSizes(30, 20)
EVERYONE = np.arange(30)


def _pairs(weighted: bool = False, seed: int = 1) -> Pairs:
    """Returns some of all pairs. The last entity of each side has none."""
    random = np.random.default_rng(seed)
    left, right = np.nonzero(random.random((29, 19)) < np.linspace(0.6, 0.1, 19))
    weight = random.uniform(0.5, 2, len(left)).astype(np.float32) if weighted else None
    return Pairs(left.astype(np.int32), right.astype(np.int32), np.ones(len(left), np.float32), weight)


def _dense(pairs: Pairs) -> np.ndarray:
    dense = np.zeros((SIZES.left, SIZES.right))
    np.add.at(dense, (pairs.left, pairs.right), 1 if pairs.weight is None else pairs.weight)
    return dense


def _adjacency(pairs: Pairs) -> np.ndarray:
    """Returns the normalized adjacency matrix of the graph, left entities first."""
    dense = _dense(pairs)
    whole = np.block([[np.zeros((30, 30)), dense], [dense.T, np.zeros((20, 20))]])
    degrees = np.maximum(whole.sum(axis=1), 1e-12)
    return whole / np.sqrt(np.outer(degrees, degrees))


def _rows(seed: int, width: int = 4) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    left, right = (random.normal(size=(rows, width)).astype(np.float32) for rows in (30, 20))
    return left, right


def _solver(pairs: Pairs, **train: float) -> LightGcn:
    model = ModelSettings(objective="lightgcn", dimension=4, temperature=0.3)
    return LightGcn(
        pairs, SIZES, model, TrainSettings.model_validate({"optimizer": "adam", "learning_rate": 0.05} | train)
    )


@pytest.mark.parametrize("weighted", [False, True])
def test_averages_are_those_of_the_adjacency_matrix(weighted: bool) -> None:
    pairs, rows = _pairs(weighted), _rows(2)
    matrix = _adjacency(pairs)
    expected = (np.eye(50) + matrix + matrix @ matrix) @ np.concatenate(rows) / 3
    left, right = Neighborhoods(pairs, SIZES).averages(*rows, np.array([4, 0]))
    np.testing.assert_allclose(left, expected[[4, 0]], atol=1e-5)
    np.testing.assert_allclose(right, expected[30:], atol=1e-5)


def test_gradients_are_the_transpose_of_averages() -> None:
    """<averages(x), g> = <x, gradients(g)> for all x and g."""
    graph, some = Neighborhoods(_pairs(True), SIZES), np.array([3, 7, 1])
    (left, right), (of_left, of_right) = _rows(3), _rows(4)
    of_left = of_left[some]
    averages, gradients = graph.averages(left, right, some), graph.gradients(of_left, of_right, some)
    assert np.vdot(averages[0], of_left) + np.vdot(averages[1], of_right) == pytest.approx(
        np.vdot(left, gradients[0]) + np.vdot(right, gradients[1]), rel=1e-4
    )


@pytest.mark.parametrize("block", [1, 40, 1 << 20])
def test_softmax_loss_is_that_of_each_pair(monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    monkeypatch.setattr(light_gcn, "_BLOCK", block)
    pairs, (left, right) = _pairs(True), _rows(5)
    assert pairs.weight is not None
    with tf.GradientTape() as tape:
        variables = [tf.Variable(side.astype(np.float64)) for side in (left, right)]
        logits = tf.matmul(*variables, transpose_b=True)[:, :19] / 0.3
        each = tf.nn.sparse_softmax_cross_entropy_with_logits(pairs.right, tf.gather(logits, pairs.left))
        expected = tf.reduce_sum(pairs.weight * each)
    observed = scipy.sparse.csr_matrix(_dense(pairs).astype(np.float32))
    loss, *gradients = softmax_loss(left, right, observed, np.arange(19), 19, 0.3)
    assert loss == pytest.approx(float(expected), rel=1e-5)
    for gradient, wanted in zip(gradients, tape.gradient(expected, variables), strict=True):
        np.testing.assert_allclose(gradient, tf.convert_to_tensor(wanted).numpy(), atol=1e-3)


def test_sampled_sum_stands_for_the_catalog() -> None:
    left, right = _rows(6)
    observed = scipy.sparse.csr_matrix((np.ones(1, np.float32), ([0], [5])), shape=(30, 20))
    loss, _, by_right = softmax_loss(left, right, observed, np.array([1, 5]), 20, 1.0)
    scores = right @ left[0]
    assert loss == pytest.approx(np.log((np.exp(scores[1]) + np.exp(scores[5])) * 10) - scores[5], rel=1e-5)
    assert not by_right[0].any() and by_right[1].any()


def test_huge_logits_stay_finite() -> None:
    left, right = _rows(7)
    observed = scipy.sparse.csr_matrix(np.ones((30, 20), np.float32))
    loss, *gradients = softmax_loss(left, right, observed, np.arange(20), 20, 1e-4)
    assert np.isfinite(loss) and all(np.isfinite(gradient).all() for gradient in gradients)


def test_step_follows_the_gradient_of_the_whole_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    """TensorFlow differentiates the dense formula from the rows to the mean over the pairs."""
    pairs = _pairs(True)
    assert pairs.weight is not None
    solver = _solver(pairs, batch_size=1 << 20)
    given: list[tuple[np.ndarray, np.ndarray]] = []
    monkeypatch.setattr(solver, "_update", given.append)
    matrix = tf.constant(_adjacency(pairs))
    rows = tf.Variable(np.concatenate(solver.state[:2]).astype(np.float64))
    with tf.GradientTape() as tape:
        averages = (rows + matrix @ rows + matrix @ (matrix @ rows)) / 3
        units = tf.math.l2_normalize(averages, axis=1)
        logits = tf.matmul(units[:30], units[30:49], transpose_b=True) / 0.3
        each = tf.nn.sparse_softmax_cross_entropy_with_logits(pairs.right, tf.gather(logits, pairs.left))
        expected = tf.reduce_sum(pairs.weight * each) / pairs.weight.sum()
    assert solver.sweep()["loss"] == pytest.approx(float(expected), rel=1e-5)
    wanted = tf.convert_to_tensor(tape.gradient(expected, rows)).numpy()
    np.testing.assert_allclose(np.concatenate(given[0]), wanted, atol=1e-5 * np.abs(wanted).max() + 1e-6)


def test_update_is_a_step_of_adam() -> None:
    import keras

    solver, (left, right) = _solver(_pairs()), _rows(8)
    variables = [keras.Variable(table) for table in solver.state[:2]]
    optimizer = keras.optimizers.Adam(0.05, epsilon=1e-8)
    for factor in (1.0, -0.5):
        optimizer.apply([factor * left, factor * right], variables)
        solver._update((np.float32(factor) * left, np.float32(factor) * right))
    for mine, wanted in zip(solver.state, variables, strict=False):
        np.testing.assert_allclose(mine, wanted.numpy(), atol=1e-5)


def test_batches_have_every_left_entity_with_pairs_once() -> None:
    solver = _solver(_pairs(), batch_size=40)
    batches = list(solver._batches(np.random.default_rng(1)))
    assert sorted(np.concatenate(batches).tolist()) == list(range(29))
    counts = np.bincount(_pairs().left)
    assert len(batches) > 3 and all(counts[some].sum() < 40 + counts.max() for some in batches)


def test_loss_falls() -> None:
    solver = _solver(_pairs(), batch_size=100)
    losses = [solver.sweep()["loss"] for _ in range(20)]
    assert losses[-1] < losses[0] - 0.2


def test_measure_is_the_mean_loss_of_pairs() -> None:
    pairs = _pairs(True)
    assert pairs.weight is not None
    solver = _solver(pairs)
    solver.sweep()
    left, right = (table / np.linalg.norm(table, axis=1, keepdims=True) for table in solver.tables)
    logits = (left @ right[:19].T / 0.3).astype(np.float64)
    some = pairs.take(np.arange(0, len(pairs), 3))
    assert some.weight is not None
    each = np.log(np.exp(logits).sum(axis=1))[some.left] - logits[some.left, some.right]
    assert solver.measure(some)["loss"] == pytest.approx(float(np.average(each, weights=some.weight)), rel=1e-4)


def test_state_determines_the_next_sweep() -> None:
    one, other = _solver(_pairs(), batch_size=50), _solver(_pairs(), batch_size=50)
    one.sweep()
    for mine, given in zip(other.state, one.state, strict=True):
        mine[...] = given
    assert other.sweep() == one.sweep()
    np.testing.assert_array_equal(one.tables[0], other.tables[0])


def test_start_averages_the_given_model() -> None:
    solver, (left, right) = _solver(_pairs()), _rows(9)
    solver.start_from([left, right])
    averages = Neighborhoods(_pairs(), SIZES).averages(left, right, EVERYONE)
    for table, rows in zip(solver.tables, averages, strict=True):
        lengths = np.linalg.norm(rows, axis=1, keepdims=True)
        np.testing.assert_allclose(table, rows / lengths * lengths**0.2, atol=1e-5)


def test_large_catalogs_are_sampled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(light_gcn, "_CANDIDATES", 5)
    solver = _solver(_pairs())
    some = solver._candidates(np.random.default_rng(1))
    assert len(set(some.tolist())) == 5 and some.max() < 19
    assert np.isfinite(solver.sweep()["loss"])
