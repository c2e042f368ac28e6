"""Approximate rankings, compared with brute force in NumPy and with the exact signatures."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from serving.local_model import LocalModel
from trainer.export import saved_model
from trainer.index.facts import IndexFacts
from trainer.model.network import LEFT_BIAS, LEFT_VECTORS, RIGHT_BIAS, RIGHT_VECTORS, build_model
from trainer.model.table_sizes import TableSizes
from trainer.settings import ModelSettings

pytestmark = pytest.mark.tensorflow

CLUSTERS, DIMENSION = 60, 8
LEFT_COUNT, RIGHT_COUNT = 300, 6000


class _Vocabularies(tf.Module):
    """Replaces a transform graph. An id is the number of its row, and there are no scores."""

    def __init__(self, counts: dict[str, int]) -> None:
        super().__init__()
        self.counts = counts
        self.tables = {name: self._table(count) for name, count in counts.items()}

    def _table(self, count: int) -> tf.lookup.StaticHashTable:
        ids = tf.strings.as_string(tf.range(count))
        return tf.lookup.StaticHashTable(
            tf.lookup.KeyValueTensorInitializer(ids, tf.range(count, dtype=tf.int64)), count
        )

    def raw_feature_spec(self) -> dict:
        return {}

    def vocabulary_by_name(self, name: str) -> list[bytes]:
        return [b"%d" % row for row in range(self.counts[name])]

    def transform_features_layer(self) -> _Vocabularies:
        return self  # a module, so that TensorFlow saves the tables

    def __call__(self, raw: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        of = {f"{side}_id": self.tables.get(side) or self.tables["shared"] for side in ("left", "right")}
        return {name.removesuffix("_id"): of[name].lookup(ids) for name, ids in raw.items()}


@dataclasses.dataclass(frozen=True)
class Published:
    """A model with known numbers. The last row of a table is for unknown ids."""

    left: np.ndarray
    right: np.ndarray
    left_bias: np.ndarray
    right_bias: np.ndarray
    facts: IndexFacts | None
    path: Path

    @property
    def signatures(self):
        return tf.saved_model.load(str(self.path)).signatures

    def scores(self, side: str, query: int) -> np.ndarray:
        """Returns the scores of all known entities of `side` with row `query` of the other side, as float64."""
        asked, of_asked, listed, bias = (
            (self.left, self.left_bias, self.right, self.right_bias)
            if side == "right"
            else (self.right, self.right_bias, self.left, self.left_bias)
        )
        return (listed[:-1].astype(float) @ asked[query].astype(float)) + bias[:-1] + of_asked[query]

    def cosines(self, side: str, query: int) -> np.ndarray:
        """Returns the cosines of all known entities of `side` with row `query` of that side."""
        table = (self.left if side == "left" else self.right).astype(float)
        lengths = np.maximum(np.linalg.norm(table, axis=1), 1e-30)
        return (table[:-1] @ table[query]) / lengths[:-1] / lengths[query]


def _publish(
    path: Path, left: np.ndarray, right: np.ndarray, bias: bool = True, shared: bool = False, approximate: bool = True
) -> Published:
    random = np.random.default_rng(3)
    counts = {"shared": len(left) - 1} if shared else {"left": len(left) - 1, "right": len(right) - 1}
    vocabularies = _Vocabularies(counts)
    network = build_model(
        TableSizes(len(left), len(right), shared), ModelSettings(dimension=left.shape[1], bias=bias), seed=1
    )
    biases = [random.integers(-2, 3, len(table)).astype(np.float32) * bias for table in (left, right)]
    network.get_layer(LEFT_VECTORS).set_weights([left])
    if not shared:
        network.get_layer(RIGHT_VECTORS).set_weights([right])
    if bias:
        for layer, values in zip((LEFT_BIAS, RIGHT_BIAS), biases, strict=True):
            network.get_layer(layer).set_weights([values[:, None]])
    facts = saved_model.export(network, vocabularies, shared, str(path), approximate=approximate)
    return Published(left, right, *biases, facts, path)


def _clustered(count: int, seed: int, scale: float = 1.0) -> np.ndarray:
    """Returns rows around few centers. Numbers are quarters, so dot products are exact and have ties."""
    random = np.random.default_rng(seed)
    centers = np.random.default_rng(0).normal(size=(CLUSTERS, DIMENSION)) * 4
    rows = centers[random.integers(0, CLUSTERS, count + 1)] + scale * random.normal(size=(count + 1, DIMENSION))
    return (np.round(rows * 4) / 4).astype(np.float32)


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Published:
    left, right = _clustered(LEFT_COUNT, 1), _clustered(RIGHT_COUNT, 2)
    right[7] = 0  # a zero vector
    right[40:80] = right[40]  # more ties than answers
    return _publish(tmp_path_factory.mktemp("approximate") / "1", left, right)


@pytest.fixture(scope="module")
def signatures(published: Published):
    return published.signatures


def _ids(rows) -> list[bytes]:
    return [b"%d" % row for row in rows]


def _ask(signature, name: str, rows, k: int, **more: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns rows and scores `[n, k]`."""
    inputs = {name: tf.constant(_ids(rows)), "k": tf.constant(k)}
    answer = signature(**inputs, **{key: tf.constant(value) for key, value in more.items()})
    (ids,) = (value for key, value in answer.items() if key.endswith("_id"))
    return ids.numpy().astype(int), answer["score"].numpy()


def _best(values: np.ndarray, k: int, without: int | None = None) -> np.ndarray:
    """Returns the rows of the `k` largest values. The lower row wins a tie."""
    order = np.lexsort((np.arange(len(values)), -values))
    return order[order != without][:k]


RANKINGS = {
    "similar_right": ("left_id", LEFT_COUNT), "similar_left": ("right_id", RIGHT_COUNT),
    "neighbors_left": ("left_id", LEFT_COUNT), "neighbors_right": ("right_id", RIGHT_COUNT),
}  # fmt: skip


@pytest.mark.parametrize("name", RANKINGS)
def test_recall_is_promised(published: Published, signatures, name: str) -> None:
    id_name, count = RANKINGS[name]
    side = name.split("_")[1]
    queries = np.random.default_rng(9).permutation(count)[:200]
    rows, scores = _ask(signatures[f"{name}_approximate"], id_name, queries, 10, probes=0)
    found = []
    for query, row, score in zip(queries, rows, scores, strict=True):
        similar = name.startswith("similar")
        values = published.scores(side, query) if similar else published.cosines(side, query)
        best = _best(values, 10, None if similar else query)
        assert len(set(row)) == 10 and (similar or query not in row)
        np.testing.assert_allclose(score, values[row], rtol=1e-5, atol=1e-5)
        assert (np.diff(score) <= 0).all()
        # By value, because near-equal cosines can change places.
        found.append((values[row] >= values[best[-1]] - 1e-6).mean())
    assert np.mean(found) >= 0.98
    assert published.facts is not None and published.facts.signatures[f"{name}_approximate"].recall >= 0.98


def test_few_blocks_are_read(published: Published) -> None:
    assert published.facts is not None
    probes, recall, _ = published.facts.signatures["similar_right_approximate"]
    assert recall >= 0.98 and probes < published.facts.blocks["right"] / 4


@pytest.mark.parametrize("name", RANKINGS)
def test_all_blocks_give_exact_answer(published: Published, signatures, name: str) -> None:
    id_name, count = RANKINGS[name]
    queries = np.arange(0, count, 7)
    exact = _ask(signatures[name], id_name, queries, 25)
    approximate = _ask(signatures[f"{name}_approximate"], id_name, queries, 25, probes=10**9)
    np.testing.assert_array_equal(approximate[0], exact[0])
    np.testing.assert_array_equal(approximate[1], exact[1])


def test_lower_row_wins_ties(published: Published, signatures) -> None:
    queries = np.arange(100)
    rows, scores = _ask(signatures["similar_right_approximate"], "left_id", queries, 30, probes=20)
    for query, row, score in zip(queries, rows, scores, strict=True):
        order = np.lexsort((row, -score))
        np.testing.assert_array_equal(order, np.arange(30))
        values = published.scores("right", query)
        # Rows 40 to 79 are equal and in one cluster, so the answer has the lowest of them.
        equal = [at for at in row if 40 <= at < 80]
        assert equal == list(range(40, 40 + len(equal)))
        np.testing.assert_array_equal(values[row], score)


def test_client_gets_as_many_answers_as_from_exact_ranking(published: Published) -> None:
    model = LocalModel(published.path)
    every = 10**6
    for query in _ids(range(0, LEFT_COUNT, 60)):
        best = [neighbor.id for neighbor in model.similar("right", query, 300)[0]]
        for exclude in ([], best[:1], best[:250:2], [*best, *best, b"never seen"], [query]):
            exact = model.similar("right", query, 10, exclude)
            assert model.similar("right", query, 10, exclude, probes=every) == exact
            found, known = model.similar("right", query, 10, exclude, probes=2)
            ids = [neighbor.id for neighbor in found]
            assert known and len(set(ids)) == 10 and not set(ids) & set(exclude)
            scores = published.scores("right", int(query))
            np.testing.assert_allclose([one.score for one in found], scores[[int(name) for name in ids]], rtol=1e-5)
        assert model.neighbors("right", query, 12, probes=every) == model.neighbors("right", query, 12)
        found, _ = model.neighbors("right", query, 12, probes=2)
        assert len({neighbor.id for neighbor in found} - {query}) == 12
    # Fewer entities than answers: the exclusions are missing, nothing else.
    assert len(model.similar("left", b"1", LEFT_COUNT, [b"0", b"5", b"none"], probes=1)[0]) == LEFT_COUNT - 2


def test_more_probes_find_more(published: Published, signatures) -> None:
    queries = np.arange(LEFT_COUNT)
    best = _ask(signatures["similar_right"], "left_id", queries, 10)[1].sum()
    found = [
        _ask(signatures["similar_right_approximate"], "left_id", queries, 10, probes=probes)[1].sum()
        for probes in (1, 4, 16, 10**6)
    ]
    assert found == sorted(found) and found[0] < found[2] and found[-1] == pytest.approx(best)


@pytest.mark.parametrize("k", [0, 1, 200, RIGHT_COUNT, 10 * RIGHT_COUNT, 2**31 - 1])
def test_number_of_answers_is_that_of_exact_ranking(signatures, k: int) -> None:
    for name, (id_name, _) in RANKINGS.items():
        exact = _ask(signatures[name], id_name, [3, 5], k)[0]
        for probes in (0, 1, 10**6):
            assert _ask(signatures[f"{name}_approximate"], id_name, [3, 5], k, probes=probes)[0].shape == exact.shape


def test_no_rows(signatures) -> None:
    for name, (id_name, _) in RANKINGS.items():
        answer = signatures[f"{name}_approximate"](
            **{id_name: tf.constant([], tf.string)}, k=tf.constant(3), probes=tf.constant(0)
        )
        assert answer["score"].shape == (0, 3) and answer["known"].shape == (0,)


def test_unknown_ids_are_ranked_as_in_exact_signature(published: Published, signatures) -> None:
    query = {"left_id": tf.constant([b"never seen", b"3"]), "k": tf.constant(5)}
    exact = signatures["similar_right"](**query)
    found = signatures["similar_right_approximate"](**query, probes=tf.constant(published.facts.blocks["right"] // 5))
    assert found["known"].numpy().tolist() == exact["known"].numpy().tolist() == [False, True]
    np.testing.assert_array_equal(found["right_id"], exact["right_id"])
    np.testing.assert_allclose(found["score"], exact["score"], rtol=1e-6)


def test_signature_has_default_of_probes(published: Published) -> None:
    from tensorflow.python.saved_model import loader_impl

    (meta_graph,) = loader_impl.parse_saved_model(str(published.path)).meta_graphs
    signature = meta_graph.signature_def["similar_right_approximate"]
    assert set(signature.inputs) == {"left_id", "k", "probes"}
    assert set(signature.outputs) == {"right_id", "score", "known"}
    assert tf.make_ndarray(signature.defaults["probes"]) == 0 and list(signature.defaults) == ["probes"]


def test_no_vector_is_stored_twice(published: Published) -> None:
    shapes = [shape for _, shape in tf.train.list_variables(str(published.path / "variables" / "variables"))]
    stored = sum(int(np.prod(shape)) for shape in shapes if len(shape) == 2 and shape[1] >= DIMENSION)
    tables = published.left.size + published.right.size
    assert tables < stored < 1.3 * tables


def test_shared_table_leaves_out_query(tmp_path: Path) -> None:
    table = _clustered(2000, 5)
    published = _publish(tmp_path / "1", table, table, bias=False, shared=True)
    found = published.signatures
    queries = np.arange(0, 2000, 40)
    rows, _ = _ask(found["similar_right_approximate"], "left_id", queries, 10, probes=8)
    assert not (rows == queries[:, None]).any()
    hits = [
        (values[row] >= values[_best(values, 10, query)[-1]]).mean()
        for query, row in zip(queries, rows, strict=True)
        for values in [published.scores("right", query)]
    ]
    assert np.mean(hits) > 0.9
    for asked in ([0], [0, 10**6]):
        exact = _ask(found["similar_right"], "left_id", asked, 10**4)[0]
        assert _ask(found["similar_right_approximate"], "left_id", asked, 10**4, probes=0)[0].shape == exact.shape


def test_small_tables_are_exact(tmp_path: Path) -> None:
    published = _publish(tmp_path / "1", _clustered(3, 1), _clustered(20, 2))
    assert published.facts is not None and published.facts.blocks == {"left": 1, "right": 1}
    signatures = published.signatures
    for name, (id_name, _) in RANKINGS.items():
        exact = _ask(signatures[name], id_name, [0, 2], 30)
        found = _ask(signatures[f"{name}_approximate"], id_name, [0, 2], 30, probes=0)
        np.testing.assert_array_equal(found[0], exact[0])


def test_same_seed_gives_same_index(published: Published, tmp_path: Path) -> None:
    again = _publish(tmp_path / "1", published.left, published.right)
    one, two = (tf.train.load_checkpoint(str(p.path / "variables" / "variables")) for p in (published, again))
    names = [name for name in one.get_variable_to_shape_map() if name.startswith("approximate/")]
    assert len(names) > 10
    for name in names:
        np.testing.assert_array_equal(one.get_tensor(name), two.get_tensor(name))


def test_models_without_index_have_no_approximate_signature(tmp_path: Path) -> None:
    published = _publish(tmp_path / "1", _clustered(3, 1), _clustered(20, 2), approximate=False)
    assert published.facts is None
    assert not [name for name in published.signatures if "approximate" in name]
