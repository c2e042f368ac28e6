"""The Python API of a published model, against the numbers of a planted one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from errors import ConfigError, ModelNotFound
from kindred import api
from tests.unit.trainer.planted_model import LEFT, RIGHT, Planted

pytestmark = pytest.mark.tensorflow

_LEFT, _RIGHT = [name.decode() for name in LEFT], [name.decode() for name in RIGHT]


@pytest.fixture(scope="module")
def model(planted: Planted) -> api.Model:
    return api.load(planted.model)


@pytest.fixture(scope="module")
def scores(planted: Planted) -> np.ndarray:
    return planted.scores()[: len(LEFT), : len(RIGHT)]


def _best(scores: np.ndarray, names: list[str], k: int) -> list[str]:
    return [names[i] for i in np.argsort(-scores, kind="stable")[:k]]


def test_root_versions_and_version_load_the_same_model(planted: Planted) -> None:
    found = {api.load(path).path for path in (planted.model, planted.model.parent, planted.model.parent.parent)}
    assert found == {planted.model}
    assert api.load(str(planted.model.parent)).version == 1


def test_missing_model_is_named_without_an_option(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound, match=f"^{tmp_path}/no: no such directory"):
        api.load(tmp_path / "no")


@pytest.mark.parametrize("convert", [str.encode, str])
def test_pair_has_the_planted_score(model: api.Model, scores: np.ndarray, convert: Any) -> None:
    answer = model.score(convert(_LEFT[1]), convert(_RIGHT[2]))
    assert answer.score == pytest.approx(scores[1, 2], rel=1e-5)
    assert answer.left_known and answer.right_known and not model.score("nobody", _RIGHT[2]).left_known


@pytest.mark.parametrize("container", [list, np.array, pd.Series, pa.array, lambda ids: pa.chunked_array([ids])])
def test_many_pairs_have_the_planted_scores(model: api.Model, scores: np.ndarray, container: Any) -> None:
    table = model.score_pairs(container(_LEFT[:3]), container(_RIGHT[:3]))
    assert table.column("left_id").to_pylist() == _LEFT[:3]
    np.testing.assert_allclose(table.column("score").to_numpy(), np.diag(scores[:3, :3]), rtol=1e-5)
    assert table.column("strength").to_pylist() == [abs(score) for score in table.column("score").to_pylist()]


def test_no_pairs_give_an_empty_table(model: api.Model) -> None:
    table = model.score_pairs([], [])
    assert table.num_rows == 0 and "value" in table.column_names


def test_ids_that_are_no_text_stay_bytes(model: api.Model) -> None:
    table = model.score_pairs([b"\xff"], [RIGHT[0]])
    assert table.column("left_id").to_pylist() == [b"\xff"]


def test_ranking_is_that_of_the_scores(model: api.Model, scores: np.ndarray) -> None:
    ranking = model.similar(_LEFT[0], k=3)
    assert [one.id for one in ranking] == _best(scores[0], _RIGHT, 3) and ranking.known
    left = model.similar(_RIGHT[0], side="left", k=2)
    assert [one.id for one in left] == _best(scores[:, 0], _LEFT, 2)
    assert left[0].score == pytest.approx(scores[:, 0].max(), rel=1e-5)


def test_excluded_entities_are_left_out(model: api.Model, scores: np.ndarray) -> None:
    first = _best(scores[0], _RIGHT, 1)
    ranking = model.similar(_LEFT[0], k=3, exclude=first)
    assert [one.id for one in ranking] == _best(scores[0], _RIGHT, 4)[1:]


def test_approximate_ranking_of_few_entities_is_exact(model: api.Model) -> None:
    assert model.similar(_LEFT[0], k=3, approximate=True) == model.similar(_LEFT[0], k=3)


def test_unknown_query_is_flagged(model: api.Model) -> None:
    assert not model.similar("nobody").known
    assert "known=False" in repr(model.similar("nobody"))


def test_neighbors_are_those_of_the_cosine(model: api.Model, planted: Planted) -> None:
    vectors = planted.left.vectors[: len(LEFT)]
    directions = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    cosines = directions @ directions[0]
    cosines[0] = -np.inf
    assert [one.id for one in model.neighbors(_LEFT[0], k=2)] == _best(cosines, _LEFT, 2)


def test_new_entity_gets_what_it_has_not_liked(model: api.Model) -> None:
    ranking = model.similar_to_new([_RIGHT[0]], k=20, exclude=[_RIGHT[1]])
    assert ranking.known and {one.id for one in ranking} == set(_RIGHT[2:])


def test_embeddings_give_the_scores(model: api.Model, planted: Planted) -> None:
    found = model.embed([*_RIGHT[:2], "nothing"], "right")
    np.testing.assert_allclose(found.vectors, planted.right.vectors[[0, 1, -1]], rtol=1e-6)
    assert found.known.tolist() == [True, True, False]


def test_lists_equal_single_rankings(model: api.Model) -> None:
    reader = model.recommend(k=3)
    table = reader.read_all()
    for name in _LEFT:
        rows = table.filter(pa.compute.equal(table.column("left_id"), name))
        assert rows.column("right_id").to_pylist() == [one.id for one in model.similar(name, k=3)]
        assert rows.column("rank").to_pylist() == [1, 2, 3]


def test_lists_are_batches_without_seen_pairs(model: api.Model, scores: np.ndarray) -> None:
    first = _best(scores[1], _RIGHT, 1)
    (batch,) = model.recommend([_LEFT[1], "nobody"], k=2, exclude=([_LEFT[1]], first))
    assert batch.column("right_id").to_pylist() == _best(scores[1], _RIGHT, 3)[1:]
    (left,) = model.recommend(first, side="left", k=1, exclude=([_LEFT[0]], first))
    assert left.column("left_id").to_pylist() != [_LEFT[0]]


def test_lists_of_neighbors_name_query_and_neighbor(model: api.Model) -> None:
    table = model.recommend([_RIGHT[0]], side="right", k=2, neighbors=True).read_all()
    assert table.column("neighbor_id").to_pylist() == [one.id for one in model.neighbors(_RIGHT[0], "right", k=2)]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m: m.similar("a", side="top"), "side: must be 'left' or 'right' (got 'top')"),
        (lambda m: m.embed("a", "left"), "ids: must be several ids, such as a list (got 'a')"),
        (lambda m: m.score(7, "a"), "left: an id is text or bytes (got 7). Convert it with str()"),
        (lambda m: m.score_pairs(["a"], []), "left and right: must have the same length (got 1 and 0)"),
        (lambda m: m.embed(pa.array([1, 2]), "left"), "ids: must be text or bytes without gaps (got int64, 0 missing)"),
        (
            lambda m: m.embed(pa.array(["a", None]), "left"),
            "ids: must be text or bytes without gaps (got string, 1 missing)",
        ),
        (lambda m: m.recommend(exclude=(["a"],)), "exclude: must be two columns of the same length"),
        (lambda m: m.recommend(exclude=([], []), neighbors=True), "exclude: has no effect with neighbors"),
    ],
)
def test_wrong_argument_is_named(model: api.Model, call: Any, message: str) -> None:
    with pytest.raises(ConfigError) as refused:
        call(model)
    assert str(refused.value).startswith(message)
