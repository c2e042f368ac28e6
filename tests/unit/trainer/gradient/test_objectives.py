"""Every objective compared with plain NumPy: the loss of each pair, and the gradient by finite differences."""

from __future__ import annotations

import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from trainer.data.pairs import Pairs
from trainer.gradient.batches import BatchMaker, NegativeSampler
from trainer.gradient.learner import Learner
from trainer.gradient.objectives import loss_of
from trainer.gradient.optimizers import SparseSGD
from trainer.gradient.shared_candidates import softmax_loss
from trainer.model.network import GLOBAL_BIAS, LEFT_BIAS, LEFT_VECTORS, RIGHT_BIAS, RIGHT_VECTORS, build_model
from trainer.model.table_sizes import TableSizes
from trainer.settings import ModelSettings, NegativeSettings

pytestmark = [pytest.mark.tensorflow, pytest.mark.filterwarnings("ignore:Even though the `tf.config")]

SIZES = TableSizes(left=6, right=5)
SHARED = TableSizes(left=6, right=6, shared=True)
LEFT = np.array([0, 5, 2, 2, 3], np.int32)
RIGHT = np.array([3, 0, 1, 1, 2], np.int32)
LABEL = np.array([1.0, -2.0, 0.5, 0.5, 3.0], np.float32)
WEIGHT = np.array([2.0, 0.0, 1.0, 0.5, 3.0], np.float32)
RATE = 0.125

Weights = dict[str, np.ndarray]


@pytest.fixture(autouse=True)
def eagerly():
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


def _score(weights: Weights, i: int, j: int, normalize: bool) -> float:
    p, q = weights[LEFT_VECTORS][i], weights.get(RIGHT_VECTORS, weights[LEFT_VECTORS])[j]
    if normalize:
        p, q = p / math.sqrt(sum(p * p)), q / math.sqrt(sum(q * q))
    score = float(sum(a * b for a, b in zip(p, q, strict=True))) + float(weights.get(GLOBAL_BIAS, 0.0))
    if LEFT_BIAS in weights:
        score += weights[LEFT_BIAS][i, 0] + weights[RIGHT_BIAS][j, 0]
    return score


def _softplus(x: float) -> float:
    return math.log(1 + math.exp(x))


def _pair_loss(weights: Weights, settings: ModelSettings, batch: dict[str, np.ndarray], b: int) -> float:
    """Returns the loss of pair `b` with the formulas of the papers."""

    def score(j: int) -> float:
        return _score(weights, batch["left"][b], j, settings.has_unit_vectors) / settings.temperature

    right, label = batch["right"][b], batch["label"][b]
    if settings.objective == "regression":
        return (score(right) - label) ** 2
    if settings.objective == "logistic" and "negatives" not in batch:
        return -math.log(1 / (1 + math.exp(-score(right) * (1 if label > 0 else -1))))
    if settings.objective == "logistic":
        return _softplus(-score(right)) + sum(_softplus(score(j)) for j in batch["negatives"][b])
    if settings.objective == "pairwise":
        return sum(_softplus(score(j) - score(right)) for j in batch["negatives"][b]) / len(batch["negatives"][b])
    if settings.objective == "cosine":
        # The offset of a model of positives is found after training.
        offset = float(weights[GLOBAL_BIAS])
        excess = [max(0.0, score(j) - offset - settings.margin) for j in batch["negatives"] if j != right]
        return 1 - (score(right) - offset) + settings.negative_weight * sum(excess) / len(batch["negatives"])
    logs = dict(zip(batch["right"], batch["log_count"], strict=True))
    logs |= dict(zip(batch["negatives"], batch["negative_log_count"], strict=True))
    rivals = [j for j in (*batch["right"], *batch["negatives"]) if j != right]
    own = math.exp(score(right) - logs[right])
    return -math.log(own / (own + sum(math.exp(score(j) - logs[j]) for j in rivals)))


def _penalty(weights: Weights, settings: ModelSettings, batch: dict[str, np.ndarray]) -> float:
    """Returns the squared length of the rows of the batch, once for each use."""
    right_vectors = weights.get(RIGHT_VECTORS, weights[LEFT_VECTORS])
    right = np.concatenate([batch["right"], *(batch["negatives"].ravel()[None] if "negatives" in batch else ())])
    tables = [(weights[LEFT_VECTORS], batch["left"]), (right_vectors, right)]
    if settings.has_biases:
        tables += [(weights[LEFT_BIAS], batch["left"]), (weights[RIGHT_BIAS], right)]
    return sum(float((table[rows] ** 2).sum()) for table, rows in tables)


def _objective(weights: Weights, settings: ModelSettings, batch: dict[str, np.ndarray]) -> float:
    weight = batch.get("weight", np.ones(len(batch["left"])))
    total = sum(weight[b] * _pair_loss(weights, settings, batch, b) for b in range(len(weight)))
    return (total + settings.regularization * _penalty(weights, settings, batch)) / len(weight)


def _gradient(weights: Weights, settings: ModelSettings, batch: dict[str, np.ndarray]) -> Weights:
    """Returns central differences of the objective, one number at a time."""
    step, gradient = 1e-5, {}
    for name, table in weights.items():
        gradient[name] = np.zeros_like(table)
        for place in np.ndindex(*table.shape):
            ends = []
            for sign in (1, -1):
                moved = {**weights, name: table.copy()}
                moved[name][place] += sign * step
                ends.append(_objective(moved, settings, batch))
            gradient[name][place] = (ends[0] - ends[1]) / (2 * step)
    return gradient


def _learner(sizes: TableSizes, settings: ModelSettings) -> tuple[Learner, Weights]:
    """Returns a learner with random weights, and the weights by layer."""
    network = build_model(sizes, settings, seed=1)
    random = np.random.default_rng(2)
    weights = {}
    for layer in network.layers:
        if layer.weights:
            weights[layer.name] = random.normal(size=layer.get_weights()[0].shape).astype(np.float32)
            layer.set_weights([weights[layer.name]])
    learner = Learner(network, settings)
    learner.compile(optimizer=SparseSGD(RATE))
    return learner, {name: array.astype(np.float64) for name, array in weights.items()}


def _batch(sizes: TableSizes, settings: ModelSettings, label: np.ndarray, weight: np.ndarray | None) -> dict:
    pairs = Pairs(LEFT, RIGHT, label, weight)
    sampler = NegativeSampler.of(np.bincount(RIGHT, minlength=sizes.right), settings) if (label > 0).all() else None
    maker = BatchMaker(8, 3, sizes.right, weight is not None, sampler)
    return next(maker.training(pairs, epochs=range(1)).as_numpy_iterator())


SETTINGS = {
    "regression": ModelSettings(dimension=3, objective="regression"),
    "logistic": ModelSettings(dimension=3, objective="logistic", temperature=0.7),
    "sampled logistic": ModelSettings(dimension=3, objective="logistic", temperature=0.7),
    "pairwise": ModelSettings(
        dimension=3, objective="pairwise", negatives=NegativeSettings(count=3, sampling="popularity")
    ),
    "softmax": ModelSettings(dimension=3, objective="softmax", temperature=0.5, negatives=NegativeSettings(count=3)),
    "cosine": ModelSettings(
        dimension=3, objective="cosine", margin=-0.2, negative_weight=5, negatives=NegativeSettings(count=7)
    ),
}


@pytest.mark.parametrize("kind", SETTINGS)
@pytest.mark.parametrize(
    "variation",
    [
        {},
        {"regularization": 0.25},
        {"bias": False, "normalize": True},
        {"shared": True, "regularization": 0.25},
        {"weighted": True, "regularization": 0.25},
    ],
    ids=str,
)
def test_step_follows_numerical_gradient(kind: str, variation: dict) -> None:
    variation = dict(variation)
    sizes = SHARED if variation.pop("shared", False) else SIZES
    weight = WEIGHT if variation.pop("weighted", False) else None
    settings = ModelSettings(**{**dict(SETTINGS[kind]), **variation})
    label = LABEL if kind in ("regression", "logistic") else np.ones(5, np.float32)
    batch = _batch(sizes, settings, label, weight)
    learner, weights = _learner(sizes, settings)
    measured = learner.train_step({name: tf.constant(column) for name, column in batch.items()})
    # A Python float times a NumPy float32 is a float32, which is too coarse for differences.
    batch = {name: column.astype(np.float64 if column.dtype == np.float32 else int) for name, column in batch.items()}
    of_rows = np.ones(5) if weight is None else batch["weight"]
    losses = [_pair_loss(weights, settings, batch, b) for b in range(5)]
    assert float(measured["loss"][0]) == pytest.approx(np.average(losses, weights=of_rows), rel=1e-4)
    if kind == "regression":
        assert float(measured["rmse"][0]) == pytest.approx(math.sqrt(np.average(losses, weights=of_rows)), rel=1e-5)
    trainable = {v.path.split("/")[0] for v in learner.network.trainable_variables}
    for name, gradient in _gradient(weights, settings, batch).items():
        after = learner.network.get_layer(name).get_weights()[0]
        expected = weights[name] - (RATE * gradient if name in trainable else 0)
        np.testing.assert_allclose(after, expected, rtol=2e-4, atol=2e-5, err_msg=name)


def test_softmax_correction_estimates_whole_catalog() -> None:
    """If right entities are sampled with any probabilities, each divided by its expected count contributes once on
    average.
    """
    random = np.random.default_rng(0)
    scores, share = random.normal(size=20), random.dirichlet(np.ones(20))
    drawn = random.choice(20, 200_000, p=share)
    candidates = np.concatenate([[4], drawn])
    log_counts = np.log(len(drawn) * share[candidates])
    _, (loss,) = softmax_loss(
        tf.ones((1, 1), tf.float64),
        tf.constant(scores[candidates][:, None]),
        tf.constant(candidates, tf.int32),
        tf.constant(log_counts),
        tf.ones(1, tf.float64),
    )
    own = math.exp(scores[4]) / (len(drawn) * share[4])
    rivals = np.exp(np.delete(scores, 4)).sum()
    assert float(loss) == pytest.approx(math.log((own + rivals) / own), rel=0.01)


def test_unknown_objective_is_refused() -> None:
    with pytest.raises(
        ValueError, match=r"unknown objective 'hinge'\. Choose from regression, logistic, pairwise, softmax, cosine"
    ):
        loss_of("hinge")


def test_epoch_metric_covers_all_rows() -> None:
    learner, weights = _learner(SIZES, SETTINGS["regression"])
    maker = BatchMaker(2, 3, 5, weighted=True)
    measured = learner.evaluate(maker.validation(Pairs(LEFT, RIGHT, LABEL, WEIGHT)), verbose=0, return_dict=True)
    errors = np.array([_score(weights, i, j, False) for i, j in zip(LEFT, RIGHT, strict=True)]) - LABEL
    mean_squared = np.average(errors**2, weights=WEIGHT)
    assert measured["loss"] == pytest.approx(mean_squared, rel=1e-5)
    assert measured["rmse"] == pytest.approx(math.sqrt(mean_squared), rel=1e-5)
    assert isinstance(learner, keras.Model)
