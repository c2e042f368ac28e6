"""Examples become columns of table rows and labels: those that the transform graph gives for each row."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from tests import written_examples
from tests.unit.trainer.transforms import analyze
from trainer.data import dataset, hashing
from trainer.data.examples import Examples
from trainer.data.pairs import Pairs
from trainer.data.sharded_pairs import ShardedPairs
from trainer.model.table_sizes import table_sizes
from trainer.settings import EncodeSettings

pytestmark = pytest.mark.tensorflow


def _load(examples: Examples, memory: int = 1 << 30, directory: Path = Path()) -> Pairs | ShardedPairs:
    return dataset.load(examples, _encode, memory, str(directory))


def _encode(raw: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    """In place of the transform graph: an id is its row, the label half the score."""
    features = {
        "left_id": lambda ids: {"left": tf.strings.to_number(ids, tf.int64)},
        "right_id": lambda ids: {"right": tf.strings.to_number(ids, tf.int64)},
        "score": lambda score: {"label": score / 2},
    }
    return {name: values for raw_name, value in raw.items() for name, values in features[raw_name](value).items()}


def _numbered(count: int) -> list[written_examples.Row]:
    return [(b"%d" % i, b"%d" % (2 * i), i / 8 - 3) for i in range(count)]


def test_rows_keep_the_order_of_shards(tmp_path: Path) -> None:
    pairs = _load(written_examples.write(tmp_path, _numbered(23), [(b"9", b"9", 0.0)], per_shard=10))
    assert pairs.left.tolist() == list(range(23))
    assert pairs.right.tolist() == list(range(0, 46, 2))
    assert (pairs.label * 2).tolist() == [row[2] for row in _numbered(23)]
    assert (pairs.left.dtype, pairs.right.dtype, pairs.label.dtype) == (np.int32, np.int32, np.float32)


@pytest.mark.parametrize(
    "encode",
    [
        EncodeSettings(),
        EncodeSettings(min_count=3, oov_buckets=4),
        EncodeSettings(shared=True, max_vocabulary=7),
        EncodeSettings(min_count=4, oov_buckets=6, oov_hashes=2),
    ],
)
def test_table_of_ids_is_encoded_as_rows_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encode: EncodeSettings
) -> None:
    """The oracle is the transform graph on every row, learned by TensorFlow Transform's own steps."""
    draw = random.Random(4)
    rows = [
        (b"l%d" % min(draw.randrange(30), 20), b"r%d" % draw.randrange(12), draw.randrange(9) / 2) for _ in range(200)
    ]
    learned = analyze(rows, tmp_path / "learned", encode=encode.model_dump(), score={"center": "mean", "scale": "std"})
    layer = learned.transform_features_layer()
    left, right, score = (tf.constant([[value] for value in column]) for column in zip(*rows, strict=True))
    expected = {
        name: values.numpy() for name, values in layer({"left_id": left, "right_id": right, "score": score}).items()
    }
    monkeypatch.setattr(dataset, "_IDS", 5)
    sizes = table_sizes(learned, encode)
    examples = written_examples.write(tmp_path / "examples", rows, [(b"l99", b"r99", 9.0)], per_shard=70)
    pairs = dataset.load(examples, hashing.numbered(layer, sizes.numberings), 1 << 30, "")
    assert isinstance(pairs, Pairs)
    np.testing.assert_array_equal(pairs.label, expected["label"][:, 0])
    for place, (side, numbers) in enumerate({"left": pairs.left, "right": pairs.right}.items()):
        if sizes.numberings is None:
            np.testing.assert_array_equal(numbers, expected[side][:, 0])
        else:
            numbering = sizes.numberings[place]
            known = np.repeat(np.arange(numbering.known)[:, None], numbering.hashes, axis=1)
            np.testing.assert_array_equal(np.concatenate([known, numbering.rows])[numbers], expected[side])


def test_positives_have_label_one(tmp_path: Path) -> None:
    pairs = _load(written_examples.write(tmp_path, [(b"1", b"2"), (b"4", b"5")]))
    assert (pairs.left.tolist(), pairs.label.tolist(), pairs.positives_only) == ([1, 4], [1.0, 1.0], True)


def test_split_without_rows_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="has no rows"):
        _load(written_examples.write(tmp_path, [], [(b"1", b"2", 3.0)]))


def test_weights_go_with_their_rows(tmp_path: Path) -> None:
    rows = [(b"%d" % i, b"0", 0.0, i / 4) for i in range(9)]
    pairs = _load(written_examples.write(tmp_path / "weighted", rows, per_shard=4))
    assert pairs.weight is not None
    assert dict(zip(pairs.left.tolist(), pairs.weight.tolist(), strict=True)) == {i: i / 4 for i in range(9)}
    assert _load(written_examples.write(tmp_path / "plain", [(b"1", b"2", 3.0)])).weight is None
    assert _load(written_examples.write(tmp_path / "ones", [(b"1", b"2", 3.0, 1.0)])).weight is None


@pytest.mark.parametrize("weighted", [False, True])
def test_more_rows_than_memory_may_hold_go_to_disk(tmp_path: Path, weighted: bool) -> None:
    rows = [(b"%d" % i, b"%d" % (2 * i), float(i), *([float(i % 3)] if weighted else [])) for i in range(1000)]
    (tmp_path / "shards").mkdir()
    examples = written_examples.write(tmp_path / "examples", rows, per_shard=50)
    pairs = _load(examples, memory=1000, directory=tmp_path / "shards")
    assert isinstance(pairs, ShardedPairs) and not pairs.positives_only and pairs.weighted is weighted
    (found,) = pairs.shuffled(np.random.default_rng(1), 1000)
    columns = [found.left, found.right, found.label * 2, *([] if found.weight is None else [found.weight])]
    read = sorted(zip(*(column.tolist() for column in columns), strict=True))
    assert read == [(int(row[0]), int(row[1]), *row[2:]) for row in rows]
