"""Loading examples as columns: every row once, in the order of the files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from trainer.data import dataset
from trainer.data.pairs import Pairs, ShardedPairs

pytestmark = pytest.mark.tensorflow


def _load(patterns: list[str], memory: int = 1 << 30, directory: Path = Path()) -> Pairs | ShardedPairs:
    return dataset.load(patterns, _encode, memory, str(directory))


def _write(path: Path, rows: list[tuple[int, int, float]]) -> None:
    """Writes raw examples like ingest: TFRecords, compressed if the name ends in .gz."""
    with tf.io.TFRecordWriter(str(path), options="GZIP" if path.suffix == ".gz" else "") as out:
        for left, right, score in rows:
            example = tf.train.Example()
            example.features.feature["left_id"].bytes_list.value.append(str(left).encode())
            example.features.feature["right_id"].bytes_list.value.append(str(right).encode())
            example.features.feature["score"].float_list.value.append(score)
            out.write(example.SerializeToString())


def _encode(raw: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    """Replaces the transform graph: an id is its row, and the label is half of the score."""
    return {
        "left": tf.strings.to_number(raw["left_id"], tf.int64),
        "right": tf.strings.to_number(raw["right_id"], tf.int64),
        "label": raw["score"] / 2,
    }


def test_load_keeps_file_order(tmp_path: Path) -> None:
    written = [(i, 1000 - i, i / 8 - 3) for i in range(23)]
    _write(tmp_path / "b-00001.gz", written[10:])
    _write(tmp_path / "a-00000.gz", written[:10])
    _write(tmp_path / "other", [(7, 7, 7.0)])
    for patterns in ([f"{tmp_path}/*.gz"], [f"{tmp_path}/b*", f"{tmp_path}/a*"]):
        pairs = _load(patterns)
        read = zip(pairs.left.tolist(), pairs.right.tolist(), (pairs.label * 2).tolist(), strict=True)
        assert list(read) == written
        assert (pairs.left.dtype, pairs.right.dtype, pairs.label.dtype) == (np.int32, np.int32, np.float32)
        assert len(pairs) == 23


def test_positives_are_encoded_without_a_score(tmp_path: Path) -> None:
    _write(tmp_path / "a", [(1, 2, 3.0), (4, 5, 6.0)])

    def encode(raw: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        assert raw.keys() == {"left_id", "right_id"}
        return _encode(raw | {"score": tf.constant([[2.0], [2.0]])})

    pairs = dataset.load([f"{tmp_path}/a"], encode, 1 << 20, str(tmp_path), scored=False)
    assert (pairs.left.tolist(), pairs.label.tolist(), pairs.positives_only) == ([1, 4], [1.0, 1.0], True)


def test_load_parses_several_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dataset, "_PARSE_BATCH", 4)
    _write(tmp_path / "a", [(i, i, float(i)) for i in range(11)])
    assert _load([f"{tmp_path}/a"]).left.tolist() == list(range(11))


def test_load_refuses_missing_and_empty_files(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no examples match"):
        _load([f"{tmp_path}/*"])
    _write(tmp_path / "empty", [])
    with pytest.raises(ValueError, match="have no rows"):
        _load([f"{tmp_path}/*"])


def test_weights_are_loaded_with_rows(tmp_path: Path) -> None:
    with tf.io.TFRecordWriter(str(tmp_path / "a")) as out:
        for i in range(9):
            example = tf.train.Example()
            example.features.feature["left_id"].bytes_list.value.append(str(i).encode())
            example.features.feature["right_id"].bytes_list.value.append(b"0")
            example.features.feature["score"].float_list.value.append(0.0)
            example.features.feature["weight"].float_list.value.append(i / 4)
            out.write(example.SerializeToString())
    pairs = _load([f"{tmp_path}/a"])
    assert pairs.weight is not None
    assert pairs.weight.tolist() == [i / 4 for i in range(9)]


def test_rows_without_weight_have_none(tmp_path: Path) -> None:
    _write(tmp_path / "a", [(1, 2, 3.0)])
    assert _load([f"{tmp_path}/a"]).weight is None


def test_rows_beyond_memory_go_to_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dataset, "_PARSE_BATCH", 50)
    _write(tmp_path / "a", [(i, 2 * i, float(i)) for i in range(1000)])
    (tmp_path / "shards").mkdir()
    pairs = _load([f"{tmp_path}/a"], memory=1000, directory=tmp_path / "shards")
    assert isinstance(pairs, ShardedPairs) and not pairs.weighted and not pairs.positives_only
    (rows,) = pairs.shuffled(np.random.default_rng(1), 1000)
    assert sorted(zip(rows.left.tolist(), rows.right.tolist(), (rows.label * 2).tolist(), strict=True)) == [
        (i, 2 * i, float(i)) for i in range(1000)
    ]
