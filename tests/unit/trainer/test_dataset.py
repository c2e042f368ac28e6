"""Columns and batches: nothing lost, nothing twice, the order that the seed says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from trainer import dataset
from trainer.dataset import Pairs

pytestmark = pytest.mark.tensorflow


def _pairs(count: int) -> Pairs:
    rows = np.arange(count)
    return Pairs((rows * 3 + 1).astype(np.int32), (rows * 7 + 2).astype(np.int32), (rows / 4 - 5).astype(np.float32))


def _read(batches: tf.data.Dataset) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """One pass: a (left, right, label) for each batch."""
    return [(left, right, label) for (left, right), label in batches.as_numpy_iterator()]


def _order(batches: tf.data.Dataset) -> list[int]:
    """Row numbers in the order of one pass over batches of `_pairs`, whose columns must belong together."""
    read = _read(batches)
    left, right, label = (np.concatenate(column)[:, 0] for column in zip(*read, strict=True))
    rows = (left - 1) // 3
    np.testing.assert_array_equal(right, rows * 7 + 2)
    np.testing.assert_array_equal(label, (rows / 4 - 5).astype(np.float32))
    return rows.tolist()


def _write(path: Path, rows: list[tuple[int, int, float]]) -> None:
    """Raw examples as ingest leaves them: TFRecords, gzipped where the name says so."""
    with tf.io.TFRecordWriter(str(path), options="GZIP" if path.suffix == ".gz" else "") as out:
        for left, right, score in rows:
            example = tf.train.Example()
            example.features.feature["left_id"].bytes_list.value.append(str(left).encode())
            example.features.feature["right_id"].bytes_list.value.append(str(right).encode())
            example.features.feature["score"].float_list.value.append(score)
            out.write(example.SerializeToString())


def _encode(raw: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    """In place of the transform graph: an id is its row, the label half the score."""
    return {
        "left": tf.strings.to_number(raw["left_id"], tf.int64),
        "right": tf.strings.to_number(raw["right_id"], tf.int64),
        "label": raw["score"] / 2,
    }


def test_load_reads_what_was_written_in_the_order_of_the_files(tmp_path: Path) -> None:
    written = [(i, 1000 - i, i / 8 - 3) for i in range(23)]
    _write(tmp_path / "b-00001.gz", written[10:])
    _write(tmp_path / "a-00000.gz", written[:10])
    _write(tmp_path / "other", [(7, 7, 7.0)])
    for patterns in ([f"{tmp_path}/*.gz"], [f"{tmp_path}/b*", f"{tmp_path}/a*"]):
        pairs = dataset.load(patterns, _encode)
        read = zip(pairs.left.tolist(), pairs.right.tolist(), (pairs.label * 2).tolist(), strict=True)
        assert list(read) == written
        assert (pairs.left.dtype, pairs.right.dtype, pairs.label.dtype) == (np.int32, np.int32, np.float32)
        assert len(pairs) == 23


def test_load_parses_more_rows_than_it_parses_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dataset, "_PARSE_BATCH", 4)
    _write(tmp_path / "a", [(i, i, float(i)) for i in range(11)])
    assert dataset.load([f"{tmp_path}/a"], _encode).left.tolist() == list(range(11))


def test_load_refuses_no_file_and_no_row(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no examples match"):
        dataset.load([f"{tmp_path}/*"], _encode)
    _write(tmp_path / "empty", [])
    with pytest.raises(ValueError, match="hold no row"):
        dataset.load([f"{tmp_path}/*"], _encode)


@given(st.integers(1, 40), st.integers(1, 50))
@settings(max_examples=5)
def test_without_a_seed_rows_come_in_order_the_last_batch_being_the_remainder(count: int, size: int) -> None:
    batches = dataset.batches(_pairs(count), size)
    assert _order(batches) == list(range(count))
    sizes = [label.shape for _, _, label in _read(batches)]
    whole, remainder = divmod(count, size)
    assert sizes == [(size, 1)] * whole + [(remainder, 1)] * bool(remainder)
    assert int(batches.cardinality()) == len(sizes)


@given(st.integers(2, 40), st.integers(1, 50), st.integers(0, 2**32 - 1))
@settings(max_examples=5)
def test_with_a_seed_every_row_comes_once_per_pass(count: int, size: int, seed: int) -> None:
    batches = dataset.batches(_pairs(count), size, shuffle_seed=seed)
    for _ in range(2):
        assert sorted(_order(batches)) == list(range(count))


@pytest.mark.parametrize("seed", [0, 2**32 - 1])
def test_each_pass_has_its_own_order_and_a_seed_its_own_orders(seed: int) -> None:
    def passes(of_seed: int) -> list[list[int]]:
        tf.random.set_seed(9)  # what Keras does before training; the orders are those of both seeds
        batches = dataset.batches(_pairs(200), 64, shuffle_seed=of_seed)
        return [_order(batches) for _ in range(3)]

    first = passes(seed)
    assert len({tuple(order) for order in [*first, list(range(200))]}) == 4
    assert passes(seed) == first
    assert passes(seed + 1 if seed < 2**32 - 1 else 3)[0] != first[0]


def test_a_shuffle_leaves_no_trace_of_the_order() -> None:
    """Over 4,000 rows the correlation of row and place has deviation 1 / sqrt(4,000)."""
    order = _order(dataset.batches(_pairs(4000), 500, shuffle_seed=1))
    assert abs(np.corrcoef(order, np.arange(4000))[0, 1]) < 4 / 4000**0.5
    halves = [np.corrcoef(half, np.arange(2000))[0, 1] for half in (order[:2000], order[2000:])]
    assert max(map(abs, halves)) < 4 / 2000**0.5


@given(st.integers(2, 60), st.floats(0.001, 0.999), st.integers(0, 2**32 - 1))
@settings(max_examples=60)
def test_hold_out_parts_the_rows(count: int, fraction: float, seed: int) -> None:
    pairs = _pairs(count)
    kept, held = dataset.hold_out(pairs, fraction, seed)
    assert len(kept) >= 1 and len(held) >= 1
    assert abs(len(held) - count * fraction) <= 1
    assert sorted([*kept.left.tolist(), *held.left.tolist()]) == pairs.left.tolist()
    for part in (kept, held):
        assert part.left.tolist() == sorted(part.left.tolist())
        np.testing.assert_array_equal(part.right, (part.left - 1) // 3 * 7 + 2)
    again, _ = dataset.hold_out(pairs, fraction, seed)
    np.testing.assert_array_equal(again.left, kept.left)


def test_hold_out_depends_on_the_seed() -> None:
    drawn = {tuple(dataset.hold_out(_pairs(50), 0.2, seed)[1].left.tolist()) for seed in range(5)}
    assert len(drawn) == 5


def test_weights_are_read_where_there_are_some_and_go_with_their_rows(tmp_path: Path) -> None:
    with tf.io.TFRecordWriter(str(tmp_path / "a")) as out:
        for i in range(9):
            example = tf.train.Example()
            example.features.feature["left_id"].bytes_list.value.append(str(i).encode())
            example.features.feature["right_id"].bytes_list.value.append(b"0")
            example.features.feature["score"].float_list.value.append(0.0)
            example.features.feature["weight"].float_list.value.append(i / 4)
            out.write(example.SerializeToString())
    pairs = dataset.load([f"{tmp_path}/a"], _encode)
    assert pairs.weight is not None
    assert pairs.weight.tolist() == [i / 4 for i in range(9)]
    for (left, _), _, weight in dataset.batches(pairs, 4, shuffle_seed=3).as_numpy_iterator():
        np.testing.assert_array_equal(weight, left / 4)


def test_rows_without_weight_have_none(tmp_path: Path) -> None:
    _write(tmp_path / "a", [(1, 2, 3.0)])
    assert dataset.load([f"{tmp_path}/a"], _encode).weight is None
