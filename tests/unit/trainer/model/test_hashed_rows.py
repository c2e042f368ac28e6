"""Training with several hashes, compared with a mixing matrix and a table with a row per id, and on planted data."""

from __future__ import annotations

import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from trainer.data.hashing import Numbering, hash_buckets, numbered
from trainer.data.pairs import Pairs
from trainer.gradient.batches import BatchMaker, NegativeSampler
from trainer.gradient.objectives import loss_of
from trainer.gradient.scorer import Scorer
from trainer.model.layers import HashedRowEmbedding, RowEmbedding
from trainer.model.network import LEFT_VECTORS, RIGHT_VECTORS, build_model
from trainer.model.table_sizes import TableSizes
from trainer.settings import ModelSettings, NegativeSettings, TrainSettings
from trainer.training import fitting, memory

pytestmark = [pytest.mark.tensorflow, pytest.mark.filterwarnings("ignore:Even though the `tf.config")]

# Two known ids, and unknown ids that share rows. The last has the same row twice.
LEFTS = np.array([[2, 3, 4], [4, 5, 3], [5, 5, 2]], np.int32)
RIGHTS = np.array([[4, 3, 3], [3, 4, 5]], np.int32)


def _sizes(shared: bool = False) -> TableSizes:
    numberings = Numbering(2, 3), Numbering(2, 3)
    for numbering, rows in zip(numberings, (LEFTS, RIGHTS), strict=True):
        numbering.number(rows)
    return TableSizes(7, 7, shared, (numberings[0], numberings[0] if shared else numberings[1]))


def _mixing(numbering: Numbering, rows: int) -> np.ndarray:
    """Returns the share of each row in the vector of each id, `[numbers, rows]`."""
    mixing = np.zeros((len(numbering), rows))
    for number in range(len(numbering)):
        of = [number] if number < numbering.known else numbering.rows[number - numbering.known]
        np.add.at(mixing[number], of, 1 / len(of))
    return mixing


def test_look_up_equals_mixing_matrix_product() -> None:
    sizes = _sizes()
    layer = build_model(sizes, ModelSettings(dimension=3), seed=4).get_layer(LEFT_VECTORS)
    (table,) = layer.get_weights()
    numbers = np.array([[0, 4], [2, 3], [4, 1]], np.int32)
    expected = _mixing(sizes.numberings[0], 7)[numbers] @ table.astype(np.float64)
    np.testing.assert_allclose(layer(numbers).numpy(), expected, rtol=1e-5)
    np.testing.assert_array_equal(layer(np.array([0, 1])).numpy(), table[:2])
    assert layer(np.zeros((0,), np.int32)).shape == (0, 3)


OBJECTIVES = {
    "regression": ModelSettings(dimension=3, objective="regression"),
    "logistic": ModelSettings(dimension=3, objective="logistic"),
    "sampled logistic": ModelSettings(dimension=3, objective="logistic", temperature=0.7),
    "pairwise": ModelSettings(
        dimension=3, objective="pairwise", negatives=NegativeSettings(count=3, sampling="popularity")
    ),
    "softmax": ModelSettings(dimension=3, objective="softmax", negatives=NegativeSettings(count=3)),
    "cosine": ModelSettings(dimension=3, objective="cosine", margin=-0.5, negatives=NegativeSettings(count=3)),
}


@pytest.mark.parametrize("kind", OBJECTIVES)
@pytest.mark.parametrize("variation", [{}, {"bias": False, "normalize": True}, {"shared": True}], ids=str)
def test_loss_and_gradient_match_full_table(kind: str, variation: dict) -> None:
    """With E = M T and the mixing matrix M, the loss is equal, and its gradient by T is M' times that by E."""
    variation = dict(variation)
    sizes = _sizes(variation.pop("shared", False))
    settings = OBJECTIVES[kind].replace(**variation)
    left, right = np.array([0, 4, 2, 2, 3, 1], np.int32), np.array([3, 0, 1, 2, 2, 3], np.int32)
    positive = kind not in ("regression", "logistic")
    label = np.ones(6, np.float32) if positive else np.array([1, -2, 0.5, 2, 3, -1], np.float32)
    occurrences = np.bincount(right, minlength=sizes.entities[1])
    sampler = NegativeSampler.of(occurrences, settings) if positive else None
    batch = next(
        BatchMaker(6, 3, sizes.entities[1], False, sampler)
        .training(Pairs(left, right, label), range(1))
        .take(1)
        .as_numpy_iterator()
    )
    networks = build_model(sizes, settings, 1), build_model(TableSizes(*sizes.entities, sizes.shared), settings, 1)
    mixing = {"left": _mixing(sizes.numberings[0], 7), "right": _mixing(sizes.numberings[1], 7)}
    random = np.random.default_rng(2)
    for layer in networks[0].layers:
        if isinstance(layer, RowEmbedding):
            table = random.normal(size=layer.get_weights()[0].shape).astype(np.float32)
            layer.set_weights([table])
            networks[1].get_layer(layer.name).set_weights([mixing[layer.name.partition("_")[0]] @ table])
    losses, gradients = zip(*(_loss_and_gradient(network, settings, batch) for network in networks), strict=True)
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-4)
    for name, gradient in gradients[1].items():
        np.testing.assert_allclose(
            gradients[0][name], mixing[name.partition("_")[0]].T @ gradient, rtol=1e-3, atol=1e-4, err_msg=name
        )


def _loss_and_gradient(network: keras.Model, settings: ModelSettings, batch: dict) -> tuple[float, dict]:
    tensors = {name: tf.constant(column) for name, column in batch.items()}
    tables = {layer.name: layer.embeddings for layer in network.layers if isinstance(layer, RowEmbedding)}
    scorer = Scorer(network, settings)
    with tf.GradientTape() as tape:
        loss, _ = loss_of(settings.objective)(scorer, tensors, settings)
        total = loss + 0.25 * scorer.penalty()
    found = tape.gradient(total, [table.value for table in tables.values()])
    return float(total), {name: tf.convert_to_tensor(g).numpy() for name, g in zip(tables, found, strict=True)}


def test_initial_vectors_have_equal_length() -> None:
    numbering = Numbering(3000, 4)
    numbering.number(3000 + np.random.default_rng(1).integers(0, 5000, (3000, 4)))
    sizes = TableSizes(8000, 8000, True, (numbering, numbering))
    layer = build_model(sizes, ModelSettings(dimension=16, initial_scale=0.3), seed=5).get_layer(LEFT_VECTORS)
    squares = (layer(np.arange(6000)).numpy() ** 2).sum(axis=1)
    # The mean squared length is the square of the initial scale. With 3,000 rows of 16 numbers, its error is under 1 %.
    for part in (squares[:3000], squares[3000:]):
        assert math.sqrt(part.mean()) == pytest.approx(0.3, rel=0.03)


def test_one_hash_is_plain_look_up() -> None:
    for sizes in (TableSizes(5, 5), TableSizes(5, 5, False, (Numbering(4, 2), Numbering(4, 2)))):
        layer = build_model(sizes, ModelSettings(dimension=3), seed=1).get_layer(LEFT_VECTORS)
        assert type(layer) is RowEmbedding  # also for several hashes without unknown ids
    assert type(build_model(_sizes(), ModelSettings(dimension=3), 1).get_layer(LEFT_VECTORS)) is HashedRowEmbedding
    encode = object()
    assert numbered(encode, None) is encode


def test_unused_hash_rows_are_zero() -> None:
    sizes = _sizes()
    pairs = Pairs(np.array([0, 2, 3], np.int32), np.array([1, 2, 1], np.int32), np.array([1, 2, 3], np.float32))
    network, _ = fitting.fit(pairs, sizes, ModelSettings(dimension=3), TrainSettings(epochs=1, early_stopping=None))
    left, right = (network.get_layer(name).get_weights()[0] for name in (LEFT_VECTORS, RIGHT_VECTORS))
    assert np.flatnonzero(left.any(axis=1)).tolist() == [0, 2, 3, 4, 5]
    assert np.flatnonzero(right.any(axis=1)).tolist() == [1, 3, 4]


def test_memory_includes_unknown_ids() -> None:
    plain, hashed = TableSizes(7, 7), _sizes()
    parts = [memory.needed(sizes, ModelSettings(), TrainSettings()) for sizes in (plain, hashed)]
    assert parts[1].pop("hashes") == 5 * (160 + 24)
    assert parts[0].pop("batch") * 3 == parts[1].pop("batch")
    assert parts[0] == parts[1]


RARE, ITEMS, SHARED_ROWS = 60, 40, 128


def test_two_hashes_separate_rare_ids() -> None:
    """Planted rare ids with different preferences, hashed to the same number of rows. Compares errors on held-out
    pairs.
    """
    random = np.random.default_rng(7)
    wanted, items = random.normal(size=(RARE, 2)), random.normal(size=(ITEMS, 2))
    left, right = (grid.ravel().astype(np.int32) for grid in np.meshgrid(range(RARE), range(ITEMS), indexing="ij"))
    label = (wanted @ items.T)[left, right].astype(np.float32)
    hashed = hash_buckets(tf.constant([b"rare-%d" % i for i in range(RARE)]), SHARED_ROWS, 2).numpy()
    errors, vectors = {}, {}
    for hashes in (1, 2):
        rows = hashed[:, :hashes]
        if hashes == 1:
            numbers, sizes = rows[:, 0].astype(np.int32), TableSizes(SHARED_ROWS, ITEMS)
        else:
            of_left, of_right = Numbering(0, 2), Numbering(ITEMS, 2)
            numbers, sizes = of_left.number(rows), TableSizes(SHARED_ROWS, ITEMS, False, (of_left, of_right))
        train, held_out = Pairs(numbers[left], right, label).hold_out(0.25, 3)
        model = ModelSettings(dimension=2, bias=False, regularization=1e-4, initial_scale=0.5)
        settings = TrainSettings(epochs=60, batch_size=64, learning_rate=0.3, early_stopping=None, seed=3)
        network, _ = fitting.fit(train, sizes, model, settings)
        scores = network([held_out.left[:, None], held_out.right[:, None]]).numpy()[:, 0]
        errors[hashes] = float(np.sqrt(((scores - held_out.label) ** 2).mean()))
        vectors[hashes] = len(np.unique(network.get_layer(LEFT_VECTORS)(numbers).numpy(), axis=0))
    assert vectors[1] < RARE == vectors[2], vectors
    assert errors[2] < errors[1] / 10, errors
