"""Vocabularies from the tables of counted ids against TensorFlow Transform's own steps: the same files, to the byte."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import tensorflow as tf
from tensorflow_transform.beam import common

from components.pair_transform import vocabulary
from components.pair_transform.vocabulary import Accumulate, Vocabulary, taken_from
from tests import written_examples
from tests.unit.trainer.transforms import Row, analyze
from trainer import preprocessing
from trainer.settings import EncodeSettings

pytestmark = pytest.mark.tensorflow

SETTINGS = {
    "all": EncodeSettings(),
    "frequent": EncodeSettings(min_count=3),
    "cut_in_the_middle_of_a_tie": EncodeSettings(max_vocabulary=5),
    "frequent_and_cut": EncodeSettings(min_count=4, max_vocabulary=40),
    "none_frequent_enough": EncodeSettings(min_count=10**6),
    "none_of_the_most_frequent": EncodeSettings(min_count=10**6, max_vocabulary=4),
}
SIDES = {"left": ("left",), "right": ("right",), "shared": ("left", "right")}
KINDS = {f"{side}_{kind}": (sides, encode) for side, sides in SIDES.items() for kind, encode in SETTINGS.items()}


def _every_kind(inputs: dict[str, tf.Tensor], custom_config: dict[str, Any]) -> dict[str, tf.Tensor]:
    """Learns a vocabulary of each side, and one of both sides, for each of the settings."""
    encoded = {}
    for name, (sides, encode) in KINDS.items():
        ids = tf.concat([inputs[f"{side}_id"] for side in sides], axis=0)
        learned = preprocessing._vocabulary(ids, name, encode)
        encoded[name] = preprocessing._rows(inputs[f"{sides[0]}_id"], learned, encode)
    return encoded


def _rows() -> list[Row]:
    """Returns hostile ids with many ties, many of them on both sides. Ingestion lets in any UTF-8 without line ends."""
    draw = random.Random(3)
    ids = [bytes([byte]) for byte in range(32, 127)]
    ids += [b" a", b"a ", b"a b", b"a\0", b"a\0b", b"\0", "é".encode(), "\U0010ffff".encode(), b"x" * 1000]
    return [(draw.choice(ids[: draw.randrange(1, 60)]), draw.choice(ids), draw.randrange(9) / 2) for _ in range(300)]


def _learned(folder: Path, compat_v1: bool) -> dict[str, tuple[bytes, int]]:
    """Returns the file of each vocabulary, and the size that is noted with it."""
    found = analyze(_rows(), folder, function=_every_kind, compat_v1=compat_v1)
    return {
        name: (Path(found.vocabulary_file_by_name(name)).read_bytes(), found.vocabulary_size_by_name(name))
        for name in KINDS
    }


def test_files_are_those_of_tensorflow_transform(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[Any] = []
    expand = vocabulary.OrderAndWrite.expand
    monkeypatch.setattr(
        vocabulary.OrderAndWrite, "expand", lambda self, inputs: (written.append(self), expand(self, inputs))[1]
    )
    monkeypatch.setattr(vocabulary, "_SIDES", {name: sides for name, (sides, _) in KINDS.items()})
    # Rows of the eval split do not count: one of a new id, and one more of an id of the train split.
    examples = written_examples.write(tmp_path, _rows(), [(b"new", b"new", 1.0), (b"!", b"!", 1.0)], per_shard=37)
    with taken_from(examples.uri):
        theirs = _learned(tmp_path / "theirs", compat_v1=True)
        assert not written
        ours = _learned(tmp_path / "ours", compat_v1=False)
    assert len(written) == len(KINDS)
    assert ours == theirs
    assert len({content for content, _ in ours.values()}) == len(KINDS) - 5  # the empty ones are alike


def test_steps_are_registered_for_tensorflow_2_alone() -> None:
    registered: dict[str, tuple[type, Any]] = {}

    def register(operation: type, tags: Any) -> Any:
        return lambda step: registered.update({operation.__name__: (step, tags)})

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(common, "register_ptransform", register)
        with taken_from("examples"):
            steps = dict(registered)
    # Afterwards TensorFlow Transform has its own steps again.
    assert {step.__module__ for step, _ in registered.values()} == {"tensorflow_transform.beam.analyzer_impls"}
    registered = steps
    assert registered.keys() == {
        f"Vocabulary{step}" for step in ("Accumulate", "Merge", "Prune", "Count", "OrderAndWrite")
    }
    assert all(tags == {common.EnvironmentTags.TF_V2_ONLY} for _, tags in registered.values())


def test_no_table_travels_with_a_vocabulary() -> None:
    travelling = vars(Vocabulary("examples", ("left",), 2, 9))
    assert travelling == {"examples": "examples", "sides": ("left",), "min_count": 2, "most": 9}


@pytest.mark.parametrize(
    ("ordering", "label", "words"),
    [
        (3, "vocabulary[left]", "only vocabularies in the order of frequency"),
        (1, "vocabulary[films]", "no ids are counted for the vocabulary 'films', only for left, right, shared"),
        (1, "vocabulary", "no ids are counted for the vocabulary ''"),
    ],
)
def test_a_vocabulary_that_ingestion_does_not_count_is_refused(ordering: int, label: str, words: str) -> None:
    operation = type("Operation", (), {"vocab_ordering_type": ordering, "label": label})
    with pytest.raises(ValueError, match=words):
        Accumulate(operation, None).expand((pa.nulls(0),))
