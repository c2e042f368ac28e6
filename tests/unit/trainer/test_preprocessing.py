"""Transform in its Beam implementation, compared with counting and NumPy."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from tests.unit.trainer import planted_model
from tests.unit.trainer.planted_model import Planted
from tests.unit.trainer.transforms import Row, analyze, transform
from trainer import preprocessing
from trainer.export.unit import Unit, unit_of
from trainer.model.table_sizes import table_sizes
from trainer.settings import EncodeSettings, ScoreSettings

pytestmark = pytest.mark.tensorflow

SHARED = EncodeSettings(shared=True, oov_buckets=3)
CUT = EncodeSettings(min_count=2, max_vocabulary=3, oov_buckets=1)


def _rows(count: int, seed: int, offset: float) -> list[Row]:
    draw = random.Random(seed)
    names = [f"{i:02d} é".encode() for i in range(9)]
    return [
        (names[min(int(draw.expovariate(0.4)), 8)], names[draw.randrange(3, 9)], offset + draw.randrange(40) / 4)
        for _ in range(count)
    ]


ROWS_SHARED = _rows(60, seed=1, offset=1e6)
# The left ids `e` and `f` occur once. Of the others, `c` is the rarest. The right id `w` occurs once.
ROWS_CUT: list[Row] = [
    (left.encode(), right.encode(), score)
    for left, right, score in zip("aaaaabbbbccdddef", "xxxxxxyyyyyyzzzw", [*range(4, 19), 44], strict=True)
]


# More labels from the same pass, with other centers, scales and ranges of scores.
COLUMNS = {
    "stars": lambda scores: scores,
    "far": lambda scores: scores + np.float32(1e6),
    "tiny": lambda scores: scores * np.float32(1e-12),
    "same": lambda scores: scores * np.float32(0) + np.float32(7),
}
WAYS = [
    ("stars", "mean", "none"),
    ("stars", "midpoint", "std"),
    ("stars", "none", "std"),
    ("stars", "none", "none"),
    *((column, "mean", "std") for column in ("far", "tiny", "same")),
]


def _with_further_labels(inputs: dict[str, tf.Tensor], custom_config: dict[str, Any]) -> dict[str, tf.Tensor]:
    further = {
        f"{column} {center} {scale}": preprocessing._label(
            COLUMNS[column](inputs["score"]), ScoreSettings(center=center, scale=scale)
        )
        for column, center, scale in WAYS
    }
    return preprocessing.preprocessing_fn(inputs, custom_config) | further


def _settings(encode: EncodeSettings, score: ScoreSettings) -> dict[str, Any]:
    return {"encode": encode.model_dump(), "score": score.model_dump()}


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory):
    settings = _settings(SHARED, ScoreSettings(center="mean", scale="std"))
    return analyze(ROWS_SHARED, tmp_path_factory.mktemp("shared"), **settings)


@pytest.fixture(scope="module")
def cut(tmp_path_factory: pytest.TempPathFactory):
    settings = _settings(CUT, ScoreSettings(center="midpoint", scale="none"))
    return analyze(ROWS_CUT, tmp_path_factory.mktemp("cut"), function=_with_further_labels, **settings)


def _ranked(counts: Counter[bytes]) -> list[bytes]:
    """Returns ids, most frequent first. Equal counts are in descending order, like in TensorFlow Transform."""
    return sorted(counts, key=lambda name: (counts[name], name), reverse=True)


def test_one_shared_vocabulary_counts_both_sides(shared) -> None:
    counts = Counter(left for left, _, _ in ROWS_SHARED) + Counter(right for _, right, _ in ROWS_SHARED)
    assert shared.vocabulary_by_name("shared") == _ranked(counts)
    sizes = table_sizes(shared, SHARED)
    assert (sizes.left, sizes.right, sizes.shared) == (len(counts) + 3, len(counts) + 3, True)


def test_shared_table_has_same_rows(shared) -> None:
    vocabulary = shared.vocabulary_by_name("shared")
    encoded = transform(shared, ROWS_SHARED)
    assert encoded["left"].tolist() == [vocabulary.index(left) for left, _, _ in ROWS_SHARED]
    assert encoded["right"].tolist() == [vocabulary.index(right) for _, right, _ in ROWS_SHARED]


def test_unknown_ids_get_bucket_rows(shared) -> None:
    count = len(shared.vocabulary_by_name("shared"))
    encoded = transform(shared, [(f"new {i}".encode(), f"new {i}".encode(), 0.0) for i in range(50)])
    assert set(encoded["left"].tolist()) == {count, count + 1, count + 2}
    np.testing.assert_array_equal(encoded["left"], encoded["right"])


def test_large_offsets_stay_precise(shared) -> None:
    scores = np.array([score for _, _, score in ROWS_SHARED])
    center = np.float32(scores.mean())  # the spacing of float32 at 1e6 is 0.0625
    np.testing.assert_allclose(transform(shared, ROWS_SHARED)["label"], (scores - center) / scores.std(), rtol=1e-4)
    unit = unit_of(shared)
    assert unit.scale == pytest.approx(scores.std(), rel=1e-5)
    assert unit.center == center


def test_rare_and_excess_ids_are_cut(cut) -> None:
    assert cut.vocabulary_by_name("left") == [b"a", b"b", b"d"]
    assert cut.vocabulary_by_name("right") == [b"y", b"x", b"z"]
    sizes = table_sizes(cut, CUT)
    assert (sizes.left, sizes.right, sizes.shared) == (4, 4, False)
    encoded = transform(cut, ROWS_CUT)
    assert encoded["left"].tolist() == [0] * 5 + [1] * 4 + [3] * 2 + [2] * 3 + [3] * 2
    assert encoded["right"].tolist() == [1] * 6 + [0] * 6 + [2] * 3 + [3]


def test_midpoint_is_between_extremes(cut) -> None:
    scores = np.array([score for _, _, score in ROWS_CUT])
    np.testing.assert_allclose(transform(cut, ROWS_CUT)["label"], scores - 24.0)
    assert unit_of(cut) == Unit(center=24.0, scale=1.0)


def test_ids_are_encoded_byte_for_byte(planted: Planted) -> None:
    """`planted` has surrounding spaces, leading zeros, commas, quotes, tabs and other scripts."""
    encoder = tf.saved_model.load(str(planted.model))
    for side, ids in (("left", planted_model.LEFT), ("right", planted_model.RIGHT)):
        answer = encoder.signatures[f"embed_{side}"](tf.constant(ids))
        assert answer["known"].numpy().all()
        np.testing.assert_array_equal(answer["embedding"].numpy(), getattr(planted, side).vectors[: len(ids)])


@pytest.mark.parametrize(("column", "center", "scale"), WAYS)
def test_labels_are_centered_and_scaled(cut, column: str, center: str, scale: str) -> None:
    scores = COLUMNS[column](np.array([score for _, _, score in ROWS_CUT], np.float32)).astype(np.float64)
    middle = {"mean": scores.mean(), "midpoint": (scores.min() + scores.max()) / 2, "none": 0.0}[center]
    middle = np.float32(middle)
    spread = scores.std() if scale == "std" and scores.std() > 0 else 1.0
    label = transform(cut, ROWS_CUT)[f"{column} {center} {scale}"]
    np.testing.assert_allclose(label, (scores - middle) / spread, atol=1e-6)


@pytest.mark.parametrize(("center", "scale"), [("mean", "std"), ("mean", "none"), ("midpoint", "std")])
def test_label_at_center_has_no_sign(tmp_path_factory: pytest.TempPathFactory, center: str, scale: str) -> None:
    """The sign of a label is that of the comparison with the published center, for every score next to it."""
    rows = [(b"a", b"x", score) for score in (0.1, 0.2, 0.3, 0.2, 0.2)]
    settings = _settings(EncodeSettings(), ScoreSettings(center=center, scale=scale))
    learned = analyze(rows, tmp_path_factory.mktemp("sign"), **settings)
    published = unit_of(learned).center
    near = [np.float32(0.2)]
    for toward in (0, 1):
        for _ in range(3):
            near.append(np.nextafter(near[-1] if near[-1] != near[0] else near[0], np.float32(toward)))
    labels = transform(learned, [(b"a", b"x", score) for score in near])["label"]
    assert np.sign(labels).tolist() == np.sign(np.array(near, np.float64) - published).tolist()


def test_positives_have_label_one(tmp_path_factory: pytest.TempPathFactory) -> None:
    settings = _settings(EncodeSettings(), ScoreSettings(center="none", scale="none"))
    learned = analyze([row[:2] for row in ROWS_CUT], tmp_path_factory.mktemp("positives"), **settings)
    found = transform(learned, [(b"a", b"x"), (b"never", b"y")])
    assert found["label"].tolist() == [1.0, 1.0]
    assert found["left"].tolist() == [0, len({row[0] for row in ROWS_CUT})]
    assert unit_of(learned) == Unit(0.0, 1.0)
