"""Vocabularies by Arrow against TensorFlow Transform's own steps: the same files, to the byte."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from tensorflow_transform.beam import common

from components.pair_transform import executor, vocabulary
from components.pair_transform.vocabulary import count_by_arrow
from tests.unit.trainer.transforms import Row, analyze
from trainer import preprocessing
from trainer.settings import EncodeSettings

pytestmark = pytest.mark.tensorflow

SETTINGS = {
    "all": EncodeSettings(),
    "frequent": EncodeSettings(min_count=3),
    "cut in the middle of a tie": EncodeSettings(max_vocabulary=5),
    "frequent and cut": EncodeSettings(min_count=4, max_vocabulary=40),
    "none frequent enough": EncodeSettings(min_count=10**6),
    "none of the most frequent": EncodeSettings(min_count=10**6, max_vocabulary=4),
}


def _every_kind(inputs: dict[str, tf.Tensor], custom_config: dict[str, Any]) -> dict[str, tf.Tensor]:
    """A vocabulary of the left ids, and one of both sides, for each of the settings."""
    both = tf.concat([inputs["left_id"], inputs["right_id"]], axis=0)
    encoded = {}
    for kind, encode in SETTINGS.items():
        left = preprocessing._vocabulary(inputs["left_id"], f"left {kind}", encode)
        shared = preprocessing._vocabulary(both, f"shared {kind}", encode)
        encoded[f"left {kind}"] = preprocessing._rows(inputs["left_id"], left, encode)
        encoded[f"shared {kind}"] = preprocessing._rows(inputs["right_id"], shared, encode)
    return encoded


def _rows() -> list[Row]:
    """Hostile ids, with many ties; also ids that TensorFlow Transform leaves out, since lines could not hold them."""
    draw = random.Random(3)
    ids = [bytes([byte]) for byte in range(0, 256, 5)]
    ids += [b"", b" ", b" a", b"a ", b"a\0", b"a\0b", b"a\nb", b"a\rb", b"\r", b"\xff\xfe", "é".encode(), b"x" * 2000]
    return [(draw.choice(ids[: draw.randrange(1, 60)]), draw.choice(ids), draw.randrange(9) / 2) for _ in range(300)]


def _learned(rows: list[Row], folder: Path, steps: str) -> dict[str, tuple[bytes, int]]:
    """Each vocabulary's file, and the size that is noted with it, by `own` steps of TensorFlow Transform or `ours`."""
    found = analyze(rows, folder, function=_every_kind, compat_v1=steps == "own")
    names = [f"{side} {kind}" for side in ("left", "shared") for kind in SETTINGS]
    return {
        name: (Path(found.vocabulary_file_by_name(name)).read_bytes(), found.vocabulary_size_by_name(name))
        for name in names
    }


def test_files_are_those_of_tensorflow_transform(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[Any] = []
    expand = vocabulary.OrderAndWrite.expand
    monkeypatch.setattr(
        vocabulary.OrderAndWrite, "expand", lambda self, inputs: (written.append(self), expand(self, inputs))[1]
    )
    count_by_arrow()
    theirs = _learned(_rows(), tmp_path / "theirs", "own")
    assert not written
    ours = _learned(_rows(), tmp_path / "ours", "ours")
    assert len(written) == 2 * len(SETTINGS)
    assert ours == theirs
    assert len({content for content, _ in ours.values()}) == 2 * len(SETTINGS) - 3  # the empty ones are alike


@given(batches=st.lists(st.lists(st.binary(max_size=2), max_size=30), max_size=6), fold=st.integers(1, 20))
def test_counts_of_batches_add_up(batches: list[list[bytes]], fold: int) -> None:
    count = vocabulary._CountTokens()
    whole, vocabulary._FOLD_ROWS = vocabulary._FOLD_ROWS, fold
    try:
        count.start_bundle()
        for batch in batches:
            count.process((np.array(batch, object),))
        (found,) = count.finish_bundle()
    finally:
        vocabulary._FOLD_ROWS = whole
    expected = Counter(token for batch in batches for token in batch)
    assert dict(zip(*found.value.to_pydict().values(), strict=True)) == expected
    written = vocabulary._prune(found.value, None, None).sort_by(vocabulary._ORDER)["token"].to_pylist()
    assert written == sorted(expected, key=lambda token: (expected[token], token), reverse=True)


def test_distinct_tokens_are_added_up_a_few_times_each(monkeypatch: pytest.MonkeyPatch) -> None:
    added: list[int] = []
    add = vocabulary._add
    monkeypatch.setattr(vocabulary, "_FOLD_ROWS", 100)
    monkeypatch.setattr(vocabulary, "_add", lambda tables: (added.append(sum(map(len, tables))), add(tables))[1])
    count = vocabulary._CountTokens()
    count.start_bundle()
    for start in range(0, 20_000, 50):
        count.process((np.array([b"%d" % number for number in range(start, start + 50)], object),))
    (found,) = count.finish_bundle()
    assert len(found.value) == 20_000
    # Each time twice as many as the time before: n + n/2 + n/4 ... and the last time all. Every 50 would be 4 million.
    assert sum(added) <= 3 * 20_000


@pytest.mark.parametrize(
    ("arguments", "by_arrow"),
    [
        (["--runner=DirectRunner", "--direct_running_mode=in_memory", "--direct_num_workers=1"], True),
        (["--runner=DirectRunner", "--direct_running_mode=multi_processing", "--direct_num_workers=2"], False),
        (["--runner=FlinkRunner"], False),
    ],
)
def test_it_is_for_one_process(arguments: list[str], by_arrow: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    chosen: list[str] = []

    def stop(*_: object, **__: object) -> None:
        raise InterruptedError

    monkeypatch.setattr(vocabulary, "count_by_arrow", lambda: chosen.append("arrow"))
    monkeypatch.setattr(executor, "BatchedExampleRecord", stop)
    with pytest.raises(InterruptedError):
        executor.Executor(executor.Executor.Context(beam_pipeline_args=arguments)).analyze([], None, None, "")
    assert bool(chosen) is by_arrow


def test_steps_are_registered_for_tensorflow_2_alone() -> None:
    registered: dict[str, tuple[type, Any]] = {}

    def register(operation: type, tags: Any) -> Any:
        return lambda step: registered.update({operation.__name__: (step, tags)})

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(common, "register_ptransform", register)
        count_by_arrow()
    assert registered.keys() == {
        f"Vocabulary{step}" for step in ("Accumulate", "Merge", "Prune", "Count", "OrderAndWrite")
    }
    assert all(tags == {common.EnvironmentTags.TF_V2_ONLY} for _, tags in registered.values())


def test_an_order_that_is_not_that_of_frequency_is_refused() -> None:
    step = vocabulary.Accumulate(type("Operation", (), {"vocab_ordering_type": 3}), None)
    with pytest.raises(ValueError, match="only vocabularies that are ordered by frequency"):
        step.expand((pa.nulls(0),))
