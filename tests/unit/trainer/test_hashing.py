"""Unknown ids by several hashes: against hashes written out, means in NumPy, and a table with a row for every id."""

from __future__ import annotations

import dataclasses
import math
import types
from pathlib import Path

import farmhash
import keras
import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.trainer.siphash import siphash
from tests.unit.trainer.transforms import Row, analyze
from trainer import export, hashing, memory, run_fn, training
from trainer.batches import BatchMaker, NegativeSampler
from trainer.hashing import Numbering, hash_buckets, numbered
from trainer.learner import Learner
from trainer.model import (
    GLOBAL_BIAS,
    LEFT_BIAS,
    LEFT_VECTORS,
    RIGHT_BIAS,
    RIGHT_VECTORS,
    HashedRows,
    Rows,
    TableSizes,
    build_model,
)
from trainer.objectives import Scorer, loss_of
from trainer.pairs import Pairs
from trainer.published import read_tables
from trainer.run_fn import table_sizes
from trainer.settings import EncodeSettings, ModelSettings, NegativeSettings, TrainSettings
from trainer.warm_start import prepare, read_model, read_vocabulary

pytestmark = [pytest.mark.tensorflow, pytest.mark.filterwarnings("ignore:Even though the `tf.config")]

HASHES, BUCKETS = 3, 7
ENCODE = EncodeSettings(min_count=2, oov_buckets=BUCKETS, oov_hashes=HASHES)
# Every byte but line ends, which no id has (docs/decisions/0005); spaces around, zeros, other scripts, a long one.
HOSTILE = [
    *(bytes([byte]) for byte in range(256) if byte not in b"\r\n"),
    b"", b"  ", b"a ", b" a", b"007", b"07", b"\0\0", "é".encode(), "e\u0301".encode(), "🎬 film".encode(), b"\xff\xfe", b"x" * 1024,
]  # fmt: skip
OFTEN = HOSTILE[::5]


def test_siphash_is_that_of_its_paper() -> None:
    """Appendix A: the key and the message are the first bytes."""
    key = (0x0706050403020100, 0x0F0E0D0C0B0A0908)
    assert siphash(key, bytes(range(15))) == 0xA129CA6149BE45E5


@given(names=st.lists(st.binary(max_size=40), min_size=1), buckets=st.integers(1, 10**6), hashes=st.integers(1, 4))
def test_buckets_are_those_of_hashes_written_out(names: list[bytes], buckets: int, hashes: int) -> None:
    found = hash_buckets(tf.constant(names, tf.string), buckets, hashes).numpy().tolist()
    for name, row in zip(names, found, strict=True):
        others = [siphash((0x6B696E64726564, number), name) % buckets for number in range(1, hashes)]
        assert row == [farmhash.Fingerprint64(name) % buckets, *others]


@given(
    rows=st.lists(st.tuples(*[st.integers(0, 9)] * 2) | st.integers(-5, -1).map(lambda n: (n, n)), max_size=60),
    cuts=st.lists(st.integers(0, 60), max_size=3),
)
def test_ids_have_one_number_and_numbers_lead_back_to_rows(rows: list[tuple[int, int]], cuts: list[int]) -> None:
    """Five known ids, then ten buckets; negative rows stand for known ids."""
    table = np.array([[5 + a, 5 + b] if a >= 0 else [5 + a, 5 + b] for a, b in rows], np.int64).reshape(-1, 2)
    numbering = Numbering(5, 2)
    parts = [numbering.number(part) for part in np.split(table, sorted(min(cut, len(rows)) for cut in cuts))]
    numbers = np.concatenate(parts).tolist()
    unknown = list(dict.fromkeys(row for row in map(tuple, table.tolist()) if row[0] >= 5))
    assert numbers == [5 + unknown.index(row) if row[0] >= 5 else row[0] for row in map(tuple, table.tolist())]
    assert numbering.rows.tolist() == list(map(list, unknown))
    assert len(numbering) == 5 + len(unknown)
    touched = numbering.touched(np.isin(np.arange(len(numbering)), numbers), 20)
    assert np.flatnonzero(touched).tolist() == sorted(set(table.ravel().tolist()))


def _rows() -> list[Row]:
    """Every hostile id once, those of `OFTEN` three times more, on both sides."""
    ids = HOSTILE + OFTEN * 3
    return [(left, right, float(i % 5)) for i, (left, right) in enumerate(zip(ids, ids[::-1], strict=True))]


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory):
    score = {"center": "mean", "scale": "none"}
    return analyze(_rows(), tmp_path_factory.mktemp("hashed"), encode=dataclasses.asdict(ENCODE), score=score)


def _expected_rows(learned, side: str, names: list[bytes]) -> np.ndarray:
    vocabulary = learned.vocabulary_by_name(side)
    keys = [(hashing._KEY, number) for number in range(1, HASHES)]
    return np.array(
        [
            [vocabulary.index(name)] * HASHES
            if name in vocabulary
            else [len(vocabulary) + h % BUCKETS for h in (farmhash.Fingerprint64(name), *(siphash(k, name) for k in keys))]
            for name in names
        ]
    )  # fmt: skip


def test_training_encodes_known_ids_by_their_row_and_others_by_all_hashes(learned) -> None:
    names = [*HOSTILE, b"never seen", b"\xc3"]
    raw = {"left_id": tf.constant(names)[:, None], "right_id": tf.constant(names)[:, None]}
    encoded = learned.transform_features_layer()(raw | {"score": tf.zeros((len(names), 1))})
    assert set(learned.vocabulary_by_name("left")) == set(OFTEN)
    for side in ("left", "right"):
        np.testing.assert_array_equal(encoded[side].numpy(), _expected_rows(learned, side, names))
    assert encoded["label"].shape == (len(names), 1)


@pytest.fixture(scope="module", params=[False, True], ids=["plain", "normalized"])
def published(request: pytest.FixtureRequest, learned, tmp_path_factory: pytest.TempPathFactory):
    """A model of random numbers, trained on no pair: its tables, what it is of, and where it is."""
    known = len(OFTEN)
    sizes = TableSizes(known + BUCKETS, known + BUCKETS)
    network = build_model(sizes, ModelSettings(dimension=4, normalize=request.param), seed=1)
    random = np.random.default_rng(3)
    tables = {}
    for name in (LEFT_VECTORS, RIGHT_VECTORS, LEFT_BIAS, RIGHT_BIAS):
        tables[name] = random.normal(size=network.get_layer(name).get_weights()[0].shape).astype(np.float32)
        network.get_layer(name).set_weights([tables[name]])
    path = tmp_path_factory.mktemp("published") / "1"
    export.export(network, learned, False, str(path), HASHES)
    return tables, request.param, path


def _composed(learned, published, side: str, names: list[bytes]) -> tuple[np.ndarray, np.ndarray]:
    """Vectors and biases as they should be: means of rows in float64, then divided by their length."""
    tables, normalized, _ = published
    rows = _expected_rows(learned, side, names)
    vectors = tables[f"{side}_vectors"].astype(np.float64)[rows].mean(axis=1)
    if normalized:
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors, tables[f"{side}_bias"].astype(np.float64)[rows, 0].mean(axis=1)


def test_the_published_model_serves_means_of_rows_to_unknown_ids(learned, published) -> None:
    served = tf.saved_model.load(str(published[2])).signatures
    names = [*HOSTILE, b"never seen"]
    known = np.isin(np.array(names, object), np.array(OFTEN, object))
    (left, left_bias), (right, right_bias) = (_composed(learned, published, side, names) for side in ("left", "right"))
    for side, vectors in (("left", left), ("right", right)):
        answer = served[f"embed_{side}"](tf.constant(names))
        np.testing.assert_allclose(answer["embedding"].numpy(), vectors, rtol=2e-5, atol=1e-6)
        assert answer["known"].numpy().tolist() == known.tolist()
    turned = names[::-1]
    scores = (left * right[::-1]).sum(axis=1) + left_bias + right_bias[::-1]
    answer = served["score"](left_id=tf.constant(names), right_id=tf.constant(turned))
    np.testing.assert_allclose(answer["score"].numpy(), scores, rtol=1e-4, atol=1e-5)
    assert answer["right_known"].numpy().tolist() == known[::-1].tolist()
    catalogue = learned.vocabulary_by_name("right")
    vectors, bias = _composed(learned, published, "right", catalogue)
    unknown = [b"never seen", HOSTILE[1]]
    of_unknown, own_bias = _composed(learned, published, "left", unknown)
    answer = served["similar_right"](left_id=tf.constant(unknown), k=tf.constant(len(catalogue)))
    expected = of_unknown @ vectors.T + bias + own_bias[:, None]
    for row, ids, values in zip(expected, answer["right_id"].numpy(), answer["score"].numpy(), strict=True):
        np.testing.assert_allclose(values, np.sort(row)[::-1], rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose([row[catalogue.index(name)] for name in ids], values, rtol=1e-4, atol=1e-5)
    answer = served["neighbors_right"](right_id=tf.constant(unknown), k=tf.constant(3))
    queries = _composed(learned, published, "right", unknown)[0]
    cosines = queries @ vectors.T / np.linalg.norm(queries, axis=1)[:, None] / np.linalg.norm(vectors, axis=1)
    np.testing.assert_allclose(answer["score"].numpy(), -np.sort(-cosines)[:, :3], rtol=1e-4, atol=1e-5)
    # Filters name known candidates only; an unknown one is none.
    filtered = served["similar_right_filtered"](
        left_id=tf.constant(unknown),
        k=tf.constant(9),
        exclude=tf.constant([b"never seen"]),
        candidates=tf.constant([catalogue[2], b"never seen", catalogue[0]]),
    )
    assert [set(row) for row in filtered["right_id"].numpy().tolist()] == [{catalogue[0], catalogue[2]}] * 2


def test_known_ids_keep_their_row_to_the_bit(published, learned) -> None:
    tables, normalized, path = published
    embedded = tf.saved_model.load(str(path)).signatures["embed_left"](tf.constant(learned.vocabulary_by_name("left")))
    rows = tables[LEFT_VECTORS][: len(OFTEN)]
    np.testing.assert_array_equal(
        embedded["embedding"].numpy(), tf.math.l2_normalize(rows, axis=-1).numpy() if normalized else rows
    )


def test_rankings_see_the_vectors_that_are_served(published) -> None:
    names = [*HOSTILE, b"never seen"]
    served = tf.saved_model.load(str(published[2])).signatures["embed_left"](tf.constant(names))["embedding"].numpy()
    found = read_tables(str(published[2])).left.vectors_of(pa.array(names, pa.binary()))
    np.testing.assert_allclose(found, served, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize(("hashes", "kept"), [(HASHES, True), (2, False), (1, False)])
def test_a_warm_start_keeps_bucket_rows_while_the_hashes_are_the_same(learned, published, hashes, kept) -> None:
    base = read_model(str(published[2]))
    assert base.hashes == HASHES
    ids = [read_vocabulary(learned.vocabulary_file_by_name(side)) for side in ("left", "right")]
    rows = len(OFTEN) + BUCKETS
    start = prepare(base, (ids[0], ids[1]), (rows, rows), False, ModelSettings(dimension=4), base.unit, hashes)
    assert start.left.kept.tolist() == [True] * len(OFTEN) + [kept] * BUCKETS


# Two known ids, and unknown ones that share rows; the last has the same row twice.
LEFTS = np.array([[2, 3, 4], [4, 5, 3], [5, 5, 2]], np.int32)
RIGHTS = np.array([[4, 3, 3], [3, 4, 5]], np.int32)


def _sizes(shared: bool = False) -> TableSizes:
    numberings = Numbering(2, 3), Numbering(2, 3)
    for numbering, rows in zip(numberings, (LEFTS, RIGHTS), strict=True):
        numbering.number(rows)
    return TableSizes(7, 7, shared, (numberings[0], numberings[0] if shared else numberings[1]))


def _mixing(numbering: Numbering, rows: int) -> np.ndarray:
    """`[numbers, rows]`: what part each row has in the vector of each id."""
    mixing = np.zeros((len(numbering), rows))
    for number in range(len(numbering)):
        of = [number] if number < numbering.known else numbering.rows[number - numbering.known]
        np.add.at(mixing[number], of, 1 / len(of))
    return mixing


def test_a_look_up_is_a_product_with_the_mixing_matrix() -> None:
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
    "pairwise": ModelSettings(dimension=3, objective="pairwise", negatives=NegativeSettings(3, "popularity")),
    "softmax": ModelSettings(dimension=3, objective="softmax", negatives=NegativeSettings(3)),
}


@pytest.mark.parametrize("kind", OBJECTIVES)
@pytest.mark.parametrize("variation", [{}, {"bias": False, "normalize": True}, {"shared": True}], ids=str)
def test_loss_and_gradient_are_those_of_a_table_with_a_row_for_every_id(kind: str, variation: dict) -> None:
    """With E = M T, rows by the mixing matrix M: the loss is the same, and its gradient by T is M' its gradient by E."""
    variation = dict(variation)
    sizes = _sizes(variation.pop("shared", False))
    settings = dataclasses.replace(OBJECTIVES[kind], **variation)
    left, right = np.array([0, 4, 2, 2, 3, 1], np.int32), np.array([3, 0, 1, 2, 2, 3], np.int32)
    positive = kind not in ("regression", "logistic")
    label = np.ones(6, np.float32) if positive else np.array([1, -2, 0.5, 2, 3, -1], np.float32)
    occurrences = np.bincount(right, minlength=sizes.entities[1])
    sampler = NegativeSampler.of(occurrences, settings) if positive else None
    batch = next(BatchMaker(6, 3, sizes.entities[1], False, sampler).training(Pairs(left, right, label), 0).take(1).as_numpy_iterator())
    networks = build_model(sizes, settings, 1), build_model(TableSizes(*sizes.entities, sizes.shared), settings, 1)
    mixing = {"left": _mixing(sizes.numberings[0], 7), "right": _mixing(sizes.numberings[1], 7)}
    random = np.random.default_rng(2)
    for layer in networks[0].layers:
        if isinstance(layer, Rows):
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
    tables = {layer.name: layer.embeddings for layer in network.layers if isinstance(layer, Rows)}
    scorer = Scorer(network, settings)
    with tf.GradientTape() as tape:
        losses = loss_of(settings.objective)(scorer, tensors, settings.temperature)
        total = tf.reduce_sum(losses) + 0.25 * scorer.penalty()
    found = tape.gradient(total, [table.value for table in tables.values()])
    return float(total), {name: tf.convert_to_tensor(g).numpy() for name, g in zip(tables, found, strict=True)}


def test_the_vectors_of_all_ids_start_alike() -> None:
    numbering = Numbering(3000, 4)
    numbering.number(3000 + np.random.default_rng(1).integers(0, 5000, (3000, 4)))
    sizes = TableSizes(8000, 8000, True, (numbering, numbering))
    layer = build_model(sizes, ModelSettings(dimension=16, initial_scale=0.3), seed=5).get_layer(LEFT_VECTORS)
    squares = (layer(np.arange(6000)).numpy() ** 2).sum(axis=1)
    # The mean squared length is the initial scale's square; of 3,000 rows of 16 numbers its error is under 1 %.
    for part in (squares[:3000], squares[3000:]):
        assert math.sqrt(part.mean()) == pytest.approx(0.3, rel=0.03)


def test_one_hash_is_the_plain_look_up() -> None:
    for sizes in (TableSizes(5, 5), TableSizes(5, 5, False, (Numbering(4, 2), Numbering(4, 2)))):
        layer = build_model(sizes, ModelSettings(dimension=3), seed=1).get_layer(LEFT_VECTORS)
        assert type(layer) is Rows  # also where several hashes meet no unknown id
    assert type(build_model(_sizes(), ModelSettings(dimension=3), 1).get_layer(LEFT_VECTORS)) is HashedRows
    encode = object()
    assert numbered(encode, None) is encode


def test_rows_that_no_id_of_training_hashes_to_are_zero() -> None:
    sizes = _sizes()
    pairs = Pairs(np.array([0, 2, 3], np.int32), np.array([1, 2, 1], np.int32), np.array([1, 2, 3], np.float32))
    network, _ = training.fit(pairs, sizes, ModelSettings(dimension=3), TrainSettings(epochs=1, early_stopping=None))
    left, right = (network.get_layer(name).get_weights()[0] for name in (LEFT_VECTORS, RIGHT_VECTORS))
    assert np.flatnonzero(left.any(axis=1)).tolist() == [0, 2, 3, 4, 5]
    assert np.flatnonzero(right.any(axis=1)).tolist() == [1, 3, 4]


def test_memory_counts_the_rows_of_unknown_ids() -> None:
    plain, hashed = TableSizes(7, 7), _sizes()
    parts = [memory.needed(sizes, ModelSettings(), TrainSettings()) for sizes in (plain, hashed)]
    assert parts[1].pop("hashes") == 5 * (160 + 24)
    assert parts[0].pop("batch") * 3 == parts[1].pop("batch")
    assert parts[0] == parts[1]


def test_trained_pairs_are_served_as_they_were_trained(learned, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole Trainer, on examples of hostile ids: what is served for each is what the network ended with."""
    with tf.io.TFRecordWriter(str(tmp_path / "examples")) as out:
        for left, right, score in _rows():
            example = tf.train.Example()
            example.features.feature["left_id"].bytes_list.value.append(left)
            example.features.feature["right_id"].bytes_list.value.append(right)
            example.features.feature["score"].float_list.value.append(score)
            out.write(example.SerializeToString())
    fitted = []
    fit = training.fit
    monkeypatch.setattr(run_fn.training, "fit", lambda pairs, sizes, *rest: fitted.append((pairs, sizes, fit(pairs, sizes, *rest))) or fitted[0][2])
    config = {
        "encode": dataclasses.asdict(ENCODE),
        "model": dataclasses.asdict(ModelSettings(dimension=4, regularization=0.01)),
        "train": dataclasses.asdict(TrainSettings(epochs=3, batch_size=64)),
    }
    run_fn.run_fn(
        types.SimpleNamespace(
            custom_config=config, transform_output=learned._transform_output_dir, base_model=None, hyperparameters=None,
            train_files=[str(tmp_path / "examples")], serving_model_dir=str(tmp_path / "1"), model_run_dir=str(tmp_path / "run" / "1"),
        )
    )  # fmt: skip
    ((pairs, sizes, (network, _)),) = fitted
    assert sizes.left == table_sizes(learned, ENCODE).left == len(OFTEN) + BUCKETS
    assert sizes.entities[0] == len(np.unique(_expected_rows(learned, "left", HOSTILE), axis=0))
    served = tf.saved_model.load(str(tmp_path / "1")).signatures["score"]
    left, right, _ = zip(*_rows(), strict=True)
    scores = served(left_id=tf.constant(left), right_id=tf.constant(right))["score"].numpy()
    trained = network([pairs.left[:, None], pairs.right[:, None]]).numpy()[:, 0]
    np.testing.assert_allclose(scores, trained, rtol=1e-5, atol=1e-6)
    assert np.abs(trained).max() > 0.1


RARE, ITEMS, SHARED_ROWS = 60, 40, 128


def test_rare_ids_that_shared_a_vector_are_told_apart_by_two_hashes() -> None:
    """Planted: rare ids with preferences of their own, hashed to as many rows either way; measured on pairs held out."""
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
        network, _ = training.fit(train, sizes, model, settings)
        scores = network([held_out.left[:, None], held_out.right[:, None]]).numpy()[:, 0]
        errors[hashes] = float(np.sqrt(((scores - held_out.label) ** 2).mean()))
        vectors[hashes] = len(np.unique(network.get_layer(LEFT_VECTORS)(numbers).numpy(), axis=0))
    assert vectors[1] < RARE == vectors[2], vectors
    assert errors[2] < errors[1] / 10, errors
