"""A table that both sides share is published once, and read for both."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from trainer.export import saved_model
from trainer.export.published_model import PublishedModel
from trainer.export.tables import read_tables
from trainer.model.network import build_model
from trainer.model.table_sizes import TableSizes
from trainer.settings import ModelSettings
from trainer.training.base_model import read_model

pytestmark = pytest.mark.tensorflow

IDS = [b"sun", b"moon", b"\xff\x00", b""]


class _Words(tf.Module):
    """Replaces a transform graph with one vocabulary and no scores."""

    def __init__(self) -> None:
        super().__init__()
        rows = tf.lookup.KeyValueTensorInitializer(tf.constant(IDS), tf.range(len(IDS), dtype=tf.int64))
        self.table = tf.lookup.StaticHashTable(rows, len(IDS))

    def raw_feature_spec(self) -> dict:
        return {}

    def vocabulary_by_name(self, name: str) -> list[bytes]:
        assert name == "shared"
        return IDS

    def transform_features_layer(self):
        return lambda raw: {name.removesuffix("_id"): self.table.lookup(ids) for name, ids in raw.items()}


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, np.ndarray]:
    sizes = TableSizes(len(IDS) + 1, len(IDS) + 1, shared=True)
    network = build_model(sizes, ModelSettings(dimension=3), seed=2)
    words = _Words()
    model = PublishedModel(network, words, shared=True)
    model.words = words
    path = tmp_path_factory.mktemp("shared") / "1"
    tf.saved_model.save(model, str(path), signatures=saved_model.signatures(model))
    return path, network.get_layer("left_vectors").get_weights()[0]


def test_shared_table_is_stored_once(published: tuple[Path, np.ndarray]) -> None:
    path, vectors = published
    stored = dict(tf.train.list_variables(str(path / "variables" / "variables")))
    assert [name for name, shape in stored.items() if tuple(shape) == vectors.shape] == [
        "left/vectors/.ATTRIBUTES/VARIABLE_VALUE"
    ]
    assert "right/ids/.ATTRIBUTES/VARIABLE_VALUE" not in stored


def test_both_sides_are_read(published: tuple[Path, np.ndarray]) -> None:
    path, vectors = published
    for tables in (read_tables(str(path)), read_model(str(path))):
        for side in (tables.left, tables.right):
            assert side.ids.to_pylist() == IDS
            np.testing.assert_array_equal(side.vectors, vectors)
    assert read_model(str(path)).shared


def test_both_sides_are_one_table(published: tuple[Path, np.ndarray]) -> None:
    assert read_tables(str(published[0])).shared


@pytest.mark.parametrize(("side", "other"), [("right", "left"), ("left", "right")])
def test_query_is_not_its_own_answer(published: tuple[Path, np.ndarray], side: str, other: str) -> None:
    path, vectors = published
    served = tf.saved_model.load(str(path)).signatures
    products = vectors[: len(IDS)] @ vectors[: len(IDS)].T
    best = [[IDS[j] for j in np.argsort(-row, kind="stable") if j != i] for i, row in enumerate(products)]
    answer = served[f"similar_{side}"](**{f"{other}_id": tf.constant(IDS), "k": tf.constant(4)})
    assert answer[f"{side}_id"].numpy().tolist() == best
    assert np.isfinite(answer["score"].numpy()).all()


@pytest.mark.parametrize(
    ("queries", "exclude", "candidates", "count"),
    [
        ([b"sun"], [], [b"sun"], 0),
        ([b"sun"], [], [b"sun", b"moon"], 1),
        ([b"sun"], [b"sun"], [], 3),
        ([b"sun", b"moon"], [], [b"moon", b""], 1),
        ([b"sun"], [], [b"moon", b""], 2),
        ([b"sun"], [b"moon"], [], 2),
    ],
)
def test_filters_count_without_the_query(
    published: tuple[Path, np.ndarray], queries: list[bytes], exclude: list[bytes], candidates: list[bytes], count: int
) -> None:
    path, _ = published
    signature = tf.saved_model.load(str(path)).signatures["similar_right_filtered"]
    answer = signature(
        left_id=tf.constant(queries), k=tf.constant(9), exclude=tf.constant(exclude, tf.string),
        candidates=tf.constant(candidates, tf.string),
    )  # fmt: skip
    found = answer["right_id"].numpy().tolist()
    assert [len(row) for row in found] == [count] * len(queries)
    allowed = set(candidates or IDS) - set(exclude)
    assert all(set(row) <= allowed - {query} for query, row in zip(queries, found, strict=True))
