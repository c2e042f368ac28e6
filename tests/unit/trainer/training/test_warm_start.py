"""Warm start from a published model: ids are matched like in a dictionary, and values stay equal."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.trainer.planted_model import DIMENSION, LABELS, Planted
from trainer.data.pairs import Pairs
from trainer.export.unit import Unit
from trainer.model.network import GLOBAL_BIAS, LEFT_BIAS, LEFT_VECTORS, RIGHT_BIAS, RIGHT_VECTORS, build_model
from trainer.model.table_sizes import TableSizes
from trainer.settings import AlsSettings, EarlyStoppingSettings, ModelSettings, TrainSettings
from trainer.training import fitting
from trainer.training.base_model import BaseModel, BaseSide, ColdStart, read_model, read_vocabulary
from trainer.training.warm_start import Counts, align, prepare

pytestmark = [pytest.mark.tensorflow, pytest.mark.filterwarnings("ignore:Even though the `tf.config")]

MODEL = ModelSettings(dimension=DIMENSION)
IDS = st.lists(st.binary(min_size=1, max_size=3), unique=True, max_size=12)


def _array(ids: list[bytes]) -> pa.Array:
    return pa.array(ids, pa.large_binary())


def _side(ids: list[bytes], buckets: int = 1, seed: int = 0) -> BaseSide:
    random = np.random.default_rng(seed)
    rows = len(ids) + buckets
    vectors, bias = random.normal(size=(rows, DIMENSION)), random.normal(size=rows)
    return BaseSide(_array(ids), vectors.astype(np.float32), bias.astype(np.float32))


def _base(left: BaseSide, right: BaseSide, center: float = 0.0, scale: float = 1.0) -> BaseModel:
    return BaseModel(left, right, 0.25, Unit(center, scale))


def _tables(network) -> dict[str, np.ndarray]:
    return {layer.name: layer.get_weights()[0] for layer in network.layers if layer.weights}


@given(old=IDS, new=IDS, old_buckets=st.integers(1, 3), new_buckets=st.integers(1, 3))
def test_alignment_matches_dictionary(old, new, old_buckets, new_buckets) -> None:
    side = _side(old, old_buckets)
    alignment = align(side, _array(new), len(new) + new_buckets)
    places = {name: row for row, name in enumerate(old)}
    expected = [places.get(name, -1) for name in new]
    same = old_buckets == new_buckets
    expected += [len(old) + bucket if same else -1 for bucket in range(new_buckets)]
    assert alignment.rows.tolist() == expected
    kept = len(set(old) & set(new))
    assert alignment.counts == Counts(kept, len(new) - kept, len(old) - kept)


@given(ids=st.lists(st.binary(min_size=1, max_size=9).filter(lambda b: not set(b) & set(b"\r\n")), max_size=20))
def test_vocabulary_file_is_read_by_line(ids: list[bytes], tmp_path_factory: pytest.TempPathFactory) -> None:
    file = tmp_path_factory.getbasetemp() / "vocabulary"
    file.write_bytes(b"".join(name + b"\n" for name in ids))
    assert read_vocabulary(str(file)).to_pylist() == ids
    file.write_bytes(b"\n".join(ids))  # no line end at the end of the file
    assert read_vocabulary(str(file)).to_pylist() == ids


def test_base_model_is_read_without_graph(planted: Planted, tmp_path: Path) -> None:
    shutil.copytree(planted.model, tmp_path / "model")
    (tmp_path / "model" / "saved_model.pb").unlink()
    base = read_model(str(tmp_path / "model"))
    for side, published in ((base.left, planted.left), (base.right, planted.right)):
        assert side.ids.to_pylist() == published.ids
        np.testing.assert_array_equal(side.vectors, published.vectors)
        np.testing.assert_array_equal(side.bias, published.bias)
    assert base.offset == planted.offset
    assert not base.shared
    assert (base.unit.center, base.unit.scale) == pytest.approx((LABELS["center"], LABELS["scale"]), rel=1e-6)


def test_known_ids_keep_exact_vectors() -> None:
    old, new = [b"a", b"b", b"c"], [b"c", b"x", b"a"]
    base = _base(_side(old, seed=1), _side(old, buckets=2, seed=2))
    network = build_model(TableSizes(4, 4), MODEL, seed=3)
    fresh = _tables(build_model(TableSizes(4, 4), MODEL, seed=3))
    start = prepare(base, (_array(new), _array(new)), (4, 4), shared=False, model=MODEL, unit=base.unit)
    start.apply(network)
    found = _tables(network)
    for name, side in ((LEFT_VECTORS, base.left), (RIGHT_VECTORS, base.right)):
        np.testing.assert_array_equal(found[name][[0, 2]], side.vectors[[2, 0]])
        np.testing.assert_array_equal(found[name][1], fresh[name][1])
    np.testing.assert_array_equal(found[LEFT_BIAS][:, 0], [*base.left.bias[[2]], 0, *base.left.bias[[0, 3]]])
    # The other side has one bucket now, and had two before.
    np.testing.assert_array_equal(found[RIGHT_BIAS][:, 0], [*base.right.bias[[2]], 0, base.right.bias[0], 0])
    np.testing.assert_array_equal(found[LEFT_VECTORS][3], base.left.vectors[3])
    np.testing.assert_array_equal(found[RIGHT_VECTORS][3], fresh[RIGHT_VECTORS][3])
    assert found[GLOBAL_BIAS] == np.float32(0.25)
    assert start.kept(LEFT_VECTORS).tolist() == [True, False, True, True]
    assert start.kept(RIGHT_VECTORS).tolist() == [True, False, True, False]


@pytest.mark.parametrize("bias", [True, False])
def test_shared_table_keeps_both_biases(bias: bool) -> None:
    side = _side([b"a", b"b"], seed=1)
    other_bias = dataclasses.replace(side, bias=side.bias + 1)
    base = _base(side, other_bias)
    assert base.shared
    model = MODEL.replace(bias=bias)
    network = build_model(TableSizes(4, 4, shared=True), model, seed=3)
    new = _array([b"b", b"a", b"n"])
    prepare(base, (new, new), (4, 4), shared=True, model=model, unit=base.unit).apply(network)
    found = _tables(network)
    np.testing.assert_array_equal(found[LEFT_VECTORS][[0, 1, 3]], side.vectors[[1, 0, 2]])
    assert RIGHT_VECTORS not in found
    if bias:
        np.testing.assert_array_equal(found[RIGHT_BIAS][[0, 1, 3], 0], other_bias.bias[[1, 0, 2]])


NETWORKS: dict[str, object] = {}


def _values(base: BaseModel) -> np.ndarray:
    """Returns the values of a base model for every pair of its rows, in the unit of the label."""
    score = base.left.vectors.astype(float) @ base.right.vectors.T + base.left.bias[:, None] + base.right.bias
    return (score + base.offset) * base.unit.scale + base.unit.center


@settings(max_examples=15)
@given(center=st.floats(-50, 50), scale=st.floats(0.1, 10), old_center=st.floats(-50, 50), old_scale=st.floats(0.1, 10))
def test_values_survive_change_of_unit(center, scale, old_center, old_scale) -> None:
    ids = [b"a", b"b", b"c"]
    base = _base(_side(ids, seed=1), _side(ids, seed=2), old_center, old_scale)
    network = NETWORKS.setdefault("one", build_model(TableSizes(4, 4), MODEL, seed=3))  # all its rows are replaced
    prepare(base, (_array(ids), _array(ids)), (4, 4), False, MODEL, Unit(center, scale)).apply(network)
    left, right = (grid.ravel()[:, None] for grid in np.meshgrid(range(4), range(4), indexing="ij"))
    values = network([left, right]).numpy().reshape(4, 4) * scale + center
    np.testing.assert_allclose(values, _values(base), rtol=1e-4, atol=1e-3)


def test_scores_without_unit_stay_equal() -> None:
    ids = [b"a", b"b", b"c"]
    base = _base(_side(ids, seed=1), _side(ids, seed=2), center=3.0, scale=2.0)
    network = build_model(TableSizes(4, 4), MODEL, seed=3)
    start = prepare(base, (_array(ids), _array(ids)), (4, 4), False, MODEL, Unit(1.0, 1.0))
    dataclasses.replace(start, objective="softmax").apply(network)
    np.testing.assert_array_equal(_tables(network)[LEFT_VECTORS], base.left.vectors)
    assert _tables(network)[GLOBAL_BIAS] == np.float32(0.25)


def test_cold_start_names_reason(planted: Planted, tmp_path: Path) -> None:
    ids = _array([b"a"])
    base = _base(_side([b"a"]), _side([b"b"]))
    with pytest.raises(ColdStart, match=r"dimension 3, but model\.dimension is 8"):
        prepare(base, (ids, ids), (2, 2), False, MODEL.replace(dimension=8), base.unit)
    with pytest.raises(ColdStart, match=r"two tables, but encode\.shared requires one table for both sides"):
        prepare(base, (ids, ids), (2, 2), True, MODEL, base.unit)
    one = _base(_side([b"a"]), _side([b"a"]))
    with pytest.raises(ColdStart, match=r"one table for both sides, but encode\.shared requires two tables"):
        prepare(one, (ids, ids), (2, 2), False, MODEL, base.unit)
    with pytest.raises(ColdStart, match="the files of the base model are missing"):
        read_model(str(tmp_path))


def _span(ids: list[bytes], seed: int) -> tuple[list[bytes], Pairs]:
    """Returns pairs of these left ids with twenty right ones. The meaning of an id is the same in every span, its row
    is not.
    """
    random = np.random.default_rng(seed)
    ids = [ids[i] for i in random.permutation(len(ids))]
    meaning = {b"%d" % i: vector for i, vector in enumerate(np.random.default_rng(0).normal(size=(80, 2)))}
    rights = np.random.default_rng(1).normal(size=(20, 2))
    left, right = (grid.ravel().astype(np.int32) for grid in np.meshgrid(range(len(ids)), range(20), indexing="ij"))
    label = np.array([meaning[name] for name in ids]) @ rights.T
    return ids, Pairs(left, right, (label.ravel() + 0.1 * random.normal(size=len(left))).astype(np.float32))


def _published(network, left: list[bytes], right: list[bytes]) -> BaseModel:
    tables = _tables(network)
    sides = [
        BaseSide(_array(ids), tables[vectors], tables[bias][:, 0])
        for ids, vectors, bias in ((left, LEFT_VECTORS, LEFT_BIAS), (right, RIGHT_VECTORS, RIGHT_BIAS))
    ]
    return BaseModel(sides[0], sides[1], float(tables[GLOBAL_BIAS]), Unit(0.0, 1.0))


def test_warm_start_needs_fewer_epochs() -> None:
    model = ModelSettings(dimension=4, regularization=0.001, initial_scale=0.3)
    stopping = EarlyStoppingSettings(validation_fraction=0.1, patience=30)
    often = TrainSettings(epochs=12, batch_size=128, optimizer="adam", learning_rate=0.05, early_stopping=stopping)
    rights = [b"right %d" % i for i in range(20)]
    before, first = _span([b"%d" % i for i in range(60)], seed=1)
    after, second = _span([b"%d" % i for i in range(2, 62)], seed=2)  # two are gone, two are new
    sizes = TableSizes(61, 21)
    network, _ = fitting.fit(first, sizes, model, often.replace(epochs=20))
    base = _published(network, before, rights)
    start = prepare(base, (_array(after), _array(rights)), (61, 21), False, model, base.unit)
    assert start.left.counts == Counts(58, 2, 2)
    _, cold = fitting.fit(second, sizes, model, often)
    _, warm = fitting.fit(second, sizes, model, often, start=start)
    reached = min(cold["val_rmse"])
    epochs = [1 + next(i for i, loss in enumerate(found["val_rmse"]) if loss <= reached) for found in (cold, warm)]
    assert epochs[1] <= 0.5 * epochs[0], (epochs, cold, warm)
    assert warm["val_rmse"][0] < 0.7 * cold["val_rmse"][0]


def test_ids_without_pairs_keep_base_vectors(eagerly: None) -> None:
    ids = [b"a", b"b", b"c"]
    base = _base(_side(ids, seed=1), _side(ids, seed=2))
    new = _array([b"c", b"new", b"a"])
    start = prepare(base, (new, new), (4, 4), False, MODEL, base.unit)
    pairs = Pairs(np.array([0], np.int32), np.array([0], np.int32), np.array([1.0], np.float32))
    once = TrainSettings(epochs=1, batch_size=1, optimizer="sgd", learning_rate=0.1, early_stopping=None)
    network, _ = fitting.fit(pairs, TableSizes(4, 4), MODEL, once, start=start)
    found = _tables(network)
    for name, side in ((LEFT_VECTORS, base.left), (RIGHT_VECTORS, base.right)):
        np.testing.assert_array_equal(found[name][[2, 3]], side.vectors[[0, 3]])
        assert not found[name][1].any()
        assert (found[name][0] != side.vectors[2]).any()


@pytest.fixture
def eagerly():
    """Runs without tracing, which takes a tenth of the time for a fit of a few steps and computes the same."""
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


@pytest.mark.parametrize("copies", [1, 2])
def test_least_squares_warm_starts(copies: int) -> None:
    model = ModelSettings(dimension=4)
    settings = TrainSettings(epochs=1, optimizer="als", early_stopping=None, als=AlsSettings(copies=copies))
    rights = [b"right %d" % i for i in range(20)]
    before, first = _span([b"%d" % i for i in range(60)], seed=1)
    after, second = _span([b"%d" % i for i in range(2, 62)], seed=2)
    sizes = TableSizes(61, 21)
    network, _ = fitting.fit(first, sizes, model, settings.replace(epochs=20))
    start = prepare(
        _published(network, before, rights), (_array(after), _array(rights)), (61, 21), False, model, Unit(0.0, 1.0)
    )
    _, cold = fitting.fit(second, sizes, model, settings)
    warmed, warm = fitting.fit(second, sizes, model, settings, start=start)
    assert warm["rmse"][0] < 0.8 * cold["rmse"][0], (warm, cold)
    # Rows without pairs, here of the bucket, keep the values of the base model, which are zero.
    assert not _tables(warmed)[LEFT_VECTORS][60].any()


def test_implicit_least_squares_warm_starts() -> None:
    model = ModelSettings(dimension=4, objective="ials", regularization=0.01, unobserved_weight=0.1)
    settings = TrainSettings(epochs=1, optimizer="als", early_stopping=None)
    random = np.random.default_rng(3)
    group = np.arange(60) % 4
    left = np.repeat(np.arange(60), 12).astype(np.int32)
    right = (random.integers(0, 10, len(left)) * 4 + group[left]).astype(
        np.int32
    )  # each prefers the items of its group
    pairs = Pairs(left, right, np.ones(len(left), np.float32))
    sizes = TableSizes(61, 41)
    network, _ = fitting.fit(pairs, sizes, model, settings.replace(epochs=15))
    tables = _tables(network)
    sides = [
        BaseSide(_array([b"%d" % i for i in range(rows - 1)]), tables[name], np.zeros(rows, np.float32))
        for name, rows in ((LEFT_VECTORS, 61), (RIGHT_VECTORS, 41))
    ]
    base = BaseModel(sides[0], sides[1], 0.0, Unit(0.0, 1.0))
    start = prepare(base, (sides[0].ids, sides[1].ids), (61, 41), False, model, base.unit)
    _, cold = fitting.fit(pairs, sizes, model, settings)
    _, long = fitting.fit(pairs, sizes, model, settings.replace(epochs=16))
    _, warm = fitting.fit(pairs, sizes, model, settings, start=start)
    assert warm["loss"][0] < cold["loss"][0]
    assert warm["loss"][0] == pytest.approx(long["loss"][15], rel=1e-4)  # one more sweep, like a longer training
