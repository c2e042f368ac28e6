"""Every signature of a published model, compared with plain NumPy."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from tests.unit.trainer.planted_model import DIMENSION, LEFT, RIGHT, Planted, Side
from trainer.data.transform_graph import TransformGraph
from trainer.export import saved_model, warmup
from trainer.export.published_model import PublishedModel
from trainer.export.tables import read_tables
from trainer.model.network import build_model
from trainer.model.table_sizes import TableSizes
from trainer.settings import ModelSettings

pytestmark = pytest.mark.tensorflow

UNKNOWN = [b"never seen", b"", b" ", b"Plain", b"07", "🎬".encode()]
SIGNATURES = {
    "serving_default", "evaluate", "score", "similar_left", "similar_right", "neighbors_left", "neighbors_right",
    "embed_left", "embed_right", "similar_left_filtered", "similar_right_filtered",
    "recommend_left", "recommend_right", "embed_left_from", "embed_right_from",
    "similar_left_approximate", "similar_right_approximate", "neighbors_left_approximate",
    "neighbors_right_approximate",
}  # fmt: skip
# A client without our code: it imports TensorFlow, loads the model, and calls every signature.
CLIENT = """
import json, sys
import tensorflow as tf
served = tf.saved_model.load(sys.argv[1]).signatures
ids, k = tf.constant([b"plain", b"007", b"never seen"]), tf.constant(3)
right = tf.constant([b"lock", b"0", b"never seen"])
example = tf.train.Example()
example.features.feature["left_id"].bytes_list.value.append(b"plain")
example.features.feature["right_id"].bytes_list.value.append(b"lock")
examples = tf.constant([example.SerializeToString()])
asked = {
    "score": dict(left_id=ids, right_id=right), "serving_default": dict(examples=examples),
    "evaluate": dict(examples=examples), "similar_right": dict(left_id=ids, k=k),
    "similar_left": dict(right_id=right, k=k),
    "similar_right_filtered": dict(left_id=ids, k=k, exclude=tf.constant([b"lock"]), candidates=right),
    "similar_left_filtered": dict(right_id=right, k=k, exclude=tf.constant([], tf.string), candidates=ids),
    "neighbors_left": dict(left_id=ids, k=k),
    "neighbors_right": dict(right_id=right, k=k), "embed_left": dict(left_id=ids), "embed_right": dict(right_id=right),
}
for side, given in (("left", right), ("right", ids)):
    given, none = given[None], tf.constant([], tf.float32)
    asked[f"embed_{side}_from"] = dict(given_id=given, given_score=none)
    other = {"left": "right", "right": "left"}[side]
    asked[f"recommend_{other}"] = dict(given_id=given, given_score=none, k=k)
rankings = [name for name in asked if name.startswith(("similar", "neighbors")) and "filtered" not in name]
asked.update({f"{name}_approximate": asked[name] | {"probes": tf.constant(0)} for name in rankings})
answers = {}
for name, inputs in asked.items():
    found = {key: value.numpy().tolist() for key, value in served[name](**inputs).items()}
    answers[name] = {k: [[i.decode() for i in row] for row in v] if k.endswith("_id") else v for k, v in found.items()}
ours = {"tfx", "tensorflow_transform", "apache_beam", "trainer", "components", "pipeline", "serving"} & set(sys.modules)
print(json.dumps({"answers": answers, "imported": sorted(ours), "signatures": sorted(served)}))
"""


@pytest.fixture(scope="module")
def served(planted: Planted):
    """Calls a signature with NumPy inputs and returns NumPy outputs."""
    loaded = tf.saved_model.load(str(planted.model))

    def ask(signature: str, **inputs: object) -> dict[str, np.ndarray]:
        kinds = {"k": tf.int32, "probes": tf.int32, "given_score": tf.float32}
        tensors = {name: tf.constant(value, kinds.get(name, tf.string)) for name, value in inputs.items()}
        return {name: value.numpy() for name, value in loaded.signatures[signature](**tensors).items()}

    ask.names = set(loaded.signatures)
    ask.loaded = loaded
    return ask


@pytest.fixture(scope="module")
def client(planted: Planted, tmp_path_factory: pytest.TempPathFactory) -> dict:
    """The answers of the client above, in a directory where our code cannot be imported."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    command = [sys.executable, "-c", CLIENT, str(planted.model)]
    folder = tmp_path_factory.mktemp("elsewhere")
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


def _every_pair() -> tuple[list[bytes], list[bytes]]:
    pairs = [(left, right) for left in LEFT + UNKNOWN for right in RIGHT + UNKNOWN]
    return [left for left, _ in pairs], [right for _, right in pairs]


def _expected_scores(planted: Planted, left: list[bytes], right: list[bytes]) -> np.ndarray:
    table = planted.scores()
    return np.array([table[planted.left.row(p), planted.right.row(q)] for p, q in zip(left, right, strict=True)])


def _example(left: bytes, right: bytes, **extra: float) -> bytes:
    example = tf.train.Example()
    example.features.feature["left_id"].bytes_list.value.append(left)
    example.features.feature["right_id"].bytes_list.value.append(right)
    for name, value in extra.items():
        example.features.feature[name].float_list.value.append(value)
    return example.SerializeToString()


def _best(scores: np.ndarray, ids: list[bytes], k: int) -> list[bytes]:
    """Returns the ids with the highest scores. For equal scores, the earlier id comes first."""
    return [ids[i] for i in sorted(range(len(ids)), key=lambda i: (-scores[i], i))[: max(k, 0)]]


def test_signatures_share_functions(planted: Planted) -> None:
    """Each copy would be optimized for every signature when a server loads the model."""
    content = saved_model_pb2.SavedModel.FromString(Path(planted.model, "saved_model.pb").read_bytes())
    functions = [function.signature.name for function in content.meta_graphs[0].graph_def.library.function]
    for shared in ("_left_rows", "_right_rows", "_score", "_marked", "similar_right", "neighbors_left"):
        assert len([name for name in functions if re.fullmatch(rf"__inference_{shared}_\d+", name)]) == 1


def test_signatures_match_contract(served) -> None:
    assert served.names == SIGNATURES
    loaded = served.loaded.signatures
    shapes = {
        name: {
            key: (spec.dtype.name, spec.shape.rank) for key, spec in loaded[name].structured_input_signature[1].items()
        }
        for name in SIGNATURES
    }
    assert shapes["score"] == {"left_id": ("string", 1), "right_id": ("string", 1)}
    assert shapes["similar_right"] == {"left_id": ("string", 1), "k": ("int32", 0)}
    assert shapes["neighbors_left"] == {"left_id": ("string", 1), "k": ("int32", 0)}
    assert shapes["serving_default"] == {"examples": ("string", 1)}


def test_score_and_value_match_numpy(planted: Planted, served) -> None:
    left, right = _every_pair()
    answer = served("score", left_id=left, right_id=right)
    expected = _expected_scores(planted, left, right)
    np.testing.assert_allclose(answer["score"], expected, atol=1e-5)
    assert (answer["score"] > 0).any() and (answer["score"] < 0).any()
    np.testing.assert_allclose(answer["strength"], np.abs(expected), atol=1e-5)
    np.testing.assert_allclose(answer["value"], expected * 5.0 + 100.0, atol=1e-4)
    assert answer["left_known"].tolist() == [name in LEFT for name in left]
    assert answer["right_known"].tolist() == [name in RIGHT for name in right]


def test_serving_default_scores_examples(planted: Planted, served) -> None:
    left, right = _every_pair()
    examples = [_example(p, q, score=3.0) for p, q in zip(left, right, strict=True)]
    answer = served("serving_default", examples=examples)
    assert set(answer) == {"score"}
    np.testing.assert_allclose(answer["score"], _expected_scores(planted, left, right), atol=1e-5)


def test_evaluate_returns_constant_baseline(planted: Planted, served) -> None:
    answer = served("evaluate", examples=[_example(LEFT[0], RIGHT[1]), _example(LEFT[3], b"?")])
    expected = _expected_scores(planted, [LEFT[0], LEFT[3]], [RIGHT[1], b"?"]) * 5.0 + 100.0
    np.testing.assert_allclose(answer["value"], expected, atol=1e-4)
    assert answer["baseline"].tolist() == [100.0, 100.0]


@pytest.mark.parametrize("k", [0, 1, 3, "n", "n+5", -1, -(2**31), 2**31 - 1])
@pytest.mark.parametrize("side", ["left", "right"])
def test_similar_ranks_whole_catalog(planted: Planted, served, side: str, k: int | str) -> None:
    candidates = planted.right.ids if side == "right" else planted.left.ids
    wanted = {"n": len(candidates), "n+5": len(candidates) + 5}.get(k, k)
    other = "left" if side == "right" else "right"
    queries = (LEFT if other == "left" else RIGHT) + UNKNOWN
    table = planted.scores() if side == "right" else planted.scores().T
    answer = served(f"similar_{side}", k=wanted, **{f"{other}_id": queries})
    assert set(answer) == {f"{side}_id", "score", "known"}
    assert answer["known"].tolist() == [query not in UNKNOWN for query in queries]
    for i, query in enumerate(queries):
        scores = table[getattr(planted, other).row(query)][: len(candidates)].astype(np.float32)
        if side == "right":
            scores[6] = scores[2]  # equal rows have equal scores in any summation order
        best = _best(scores, candidates, wanted)
        assert answer[f"{side}_id"][i].tolist() == best
        np.testing.assert_allclose(answer["score"][i], [scores[candidates.index(name)] for name in best], atol=1e-5)


def test_ties_prefer_frequent_ids(served) -> None:
    for ranking in served("similar_right", left_id=LEFT, k=len(RIGHT))["right_id"].tolist():
        assert ranking.index(RIGHT[6]) == ranking.index(RIGHT[2]) + 1


def _cosines(side: Side, query: int) -> np.ndarray:
    vectors = side.vectors.astype(float)
    lengths = np.sqrt((vectors**2).sum(axis=1))
    products = lengths * lengths[query]
    return np.divide(vectors @ vectors[query], products, out=np.zeros(len(vectors)), where=products > 0)


@pytest.mark.parametrize("k", [0, 1, 4, "n", "n+5", -1])
@pytest.mark.parametrize("side", ["left", "right"])
def test_neighbors_exclude_query(planted: Planted, served, side: str, k: int | str) -> None:
    tables: Side = getattr(planted, side)
    wanted = {"n": len(tables.ids), "n+5": len(tables.ids) + 5}.get(k, k)
    answer = served(f"neighbors_{side}", k=wanted, **{f"{side}_id": tables.ids})
    for query, name in enumerate(tables.ids):
        cosines = _cosines(tables, query)[: len(tables.ids)].round(5)
        ids = answer[f"{side}_id"][query].tolist()
        assert name not in ids
        assert len(ids) == min(max(wanted, 0), len(tables.ids) - 1)
        others = [i for i in range(len(tables.ids)) if i != query]
        expected = sorted((cosines[i] for i in others), reverse=True)[: len(ids)]
        np.testing.assert_allclose(answer["score"][query], expected, atol=2e-5)
        np.testing.assert_allclose([cosines[tables.ids.index(i)] for i in ids], expected, atol=2e-5)
        assert len(set(ids)) == len(ids)


def test_zero_vector_has_cosine_zero(served) -> None:
    answer = served("neighbors_left", left_id=[LEFT[4]], k=99)
    assert answer["left_id"][0].tolist() == [name for name in LEFT if name != LEFT[4]]
    assert answer["score"][0].tolist() == [0.0] * (len(LEFT) - 1)


def test_unknown_id_has_neighbors(planted: Planted, served) -> None:
    answer = served("neighbors_right", right_id=[b"never seen"], k=2)
    cosines = _cosines(planted.right, len(RIGHT))[: len(RIGHT)].round(6)
    assert answer["right_id"][0].tolist() == _best(cosines, RIGHT, 2)
    assert answer["known"].tolist() == [False]
    assert served("neighbors_right", right_id=[RIGHT[1], LEFT[1]], k=2)["known"].tolist() == [True, False]


@pytest.mark.parametrize("side", ["left", "right"])
def test_embed_returns_table_rows(planted: Planted, served, side: str) -> None:
    tables: Side = getattr(planted, side)
    queries = tables.ids + UNKNOWN
    answer = served(f"embed_{side}", **{f"{side}_id": queries})
    np.testing.assert_array_equal(answer["embedding"], tables.vectors[[tables.row(name) for name in queries]])
    assert answer["known"].tolist() == [name in tables.ids for name in queries]


@pytest.mark.parametrize(
    ("signature", "inputs", "shapes"),
    [
        ("score", {"left_id": [], "right_id": []}, {"score": (0,), "left_known": (0,)}),
        ("similar_right", {"left_id": [], "k": 3}, {"right_id": (0, 3), "score": (0, 3)}),
        ("neighbors_left", {"left_id": [], "k": 3}, {"left_id": (0, 3)}),
        ("embed_left", {"left_id": []}, {"embedding": (0, DIMENSION)}),
    ],
)
def test_empty_request_returns_empty_answer(served, signature: str, inputs: dict, shapes: dict) -> None:
    answer = served(signature, **inputs)
    assert {name: answer[name].shape for name in shapes} == shapes


def test_client_needs_only_tensorflow(client: dict, served) -> None:
    assert client["imported"] == []
    assert set(client["signatures"]) == SIGNATURES
    here = served("score", left_id=[b"plain", b"007", b"?"], right_id=[b"lock", b"0", b"?"])
    np.testing.assert_allclose(client["answers"]["score"]["score"], here["score"], atol=1e-6)
    assert client["answers"]["score"]["left_known"] == [True, True, False]
    similar = served("similar_right", left_id=[b"plain", b"007", b"?"], k=3)["right_id"]
    assert client["answers"]["similar_right"]["right_id"] == [[name.decode() for name in row] for row in similar]
    assert set(client["answers"]) == SIGNATURES


def test_model_includes_its_files(planted: Planted) -> None:
    assert (planted.model / "saved_model.pb").is_file()
    assert {path.name for path in Path(planted.model, "assets").iterdir()} == {"left", "right"}


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("k", [0, 1, 3, 99, -1])
@pytest.mark.parametrize(
    ("exclude", "candidates"),
    [
        ([], []),
        ([0, 2], []),
        ([], [1, 3, 5]),
        ([3], [5, 3, 1, 1]),
        ([b"never seen", b""], []),
        ([], [b"never seen", 4]),
        ([], [b"never seen"]),
        ([0, 1, 2, 3, 4, 5, 6, 7, 8], []),
    ],
    ids=str,
)
def test_filter_excludes_and_restricts(
    planted: Planted, served, side: str, k: int, exclude: list, candidates: list
) -> None:
    catalogue = planted.right.ids if side == "right" else planted.left.ids
    other = "left" if side == "right" else "right"
    queries = (LEFT if other == "left" else RIGHT) + UNKNOWN
    table = planted.scores() if side == "right" else planted.scores().T
    left_out, ranked = (
        [catalogue[i] if isinstance(i, int) else i for i in ids if isinstance(i, bytes) or i < len(catalogue)]
        for ids in (exclude, candidates)
    )
    answer = served(f"similar_{side}_filtered", k=k, exclude=left_out, candidates=ranked, **{f"{other}_id": queries})
    remaining = [i for i in catalogue if i not in left_out and (not ranked or i in ranked)]
    for i, query in enumerate(queries):
        scores = table[getattr(planted, other).row(query)][: len(catalogue)].astype(np.float32)
        if side == "right":
            scores[6] = scores[2]
        best = _best([scores[catalogue.index(name)] for name in remaining], remaining, k)
        assert answer[f"{side}_id"][i].tolist() == best
        np.testing.assert_allclose(answer["score"][i], [scores[catalogue.index(name)] for name in best], atol=1e-5)


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("k", [0, 2, 99])
@pytest.mark.parametrize("candidates", [[], [1, 2, 3, 4, 4]], ids=str)
def test_each_row_has_its_own_exclusions(planted: Planted, served, side: str, k: int, candidates: list[int]) -> None:
    catalogue = planted.right.ids if side == "right" else planted.left.ids
    other = "left" if side == "right" else "right"
    queries = [*(LEFT if other == "left" else RIGHT), b"never seen"]
    random = np.random.default_rng(3)
    lists = [random.choice(catalogue, random.integers(0, len(catalogue) + 1), replace=False) for _ in queries]
    lists[0], lists[1] = [], catalogue  # nothing and everything
    width = len(catalogue) + 2
    padded = [[*names, *[b""] * (width - len(names))] for names in lists]
    ranked = [catalogue[i] for i in candidates]
    answer = served(f"similar_{side}_filtered", k=k, exclude=padded, candidates=ranked, **{f"{other}_id": queries})
    table = planted.scores() if side == "right" else planted.scores().T
    for i, query in enumerate(queries):
        scores = table[getattr(planted, other).row(query)][: len(catalogue)].astype(np.float32)
        if side == "right":
            scores[6] = scores[2]
        remaining = [name for name in catalogue if name not in list(lists[i]) and (not ranked or name in ranked)]
        best = _best([scores[catalogue.index(name)] for name in remaining], remaining, k)
        missing = min(k, len(set(candidates)) or len(catalogue)) - len(best)
        assert answer[f"{side}_id"][i].tolist() == best + [b""] * missing
        expected = [scores[catalogue.index(name)] for name in best] + [np.finfo(np.float32).min] * missing
        np.testing.assert_allclose(answer["score"][i], np.float32(expected), rtol=1e-5, atol=1e-5)
    assert (answer[f"{side}_id"] == b"").any() == (k > 0)


@pytest.mark.parametrize("shape", [(), (2, 1), (1, 3), (3, 1, 1)])
def test_exclusions_of_other_rows_are_refused(served, shape: tuple[int, ...]) -> None:
    exclude = np.full(shape, b"lock", dtype=object)
    with pytest.raises(tf.errors.InvalidArgumentError, match="exclude must be one list of ids, or one list"):
        served("similar_right_filtered", left_id=LEFT[:3], k=3, exclude=exclude.tolist(), candidates=[])


@pytest.mark.parametrize("counts", [(2, 1), (1, 2), (0, 1), (3, 2)])
def test_unequal_numbers_of_ids_are_not_scored(served, counts: tuple[int, int]) -> None:
    with pytest.raises(tf.errors.InvalidArgumentError, match="must have the same number of ids"):
        served("score", left_id=LEFT[: counts[0]], right_id=RIGHT[: counts[1]])


def test_table_is_stored_once(planted: Planted, served) -> None:
    """The checkpoint has the tables, the biases, the lengths and the ids, each once."""
    shapes = [tuple(shape) for name, shape in tf.train.list_variables(str(planted.model / "variables" / "variables"))
              if name.startswith(("left", "right", "offset"))]  # fmt: skip
    left, right = len(LEFT), len(RIGHT)
    expected = [(left + 1, DIMENSION), (right + 1, DIMENSION), (left + 1,), (left + 1,), (right + 1,), (right + 1,)]
    assert sorted(shapes) == sorted([*expected, (left,), (right,), ()])


def test_ranking_does_not_copy_table(served) -> None:
    """No signature gathers from a variable, because TensorFlow would copy the table at every dense read."""
    kinds = {
        node.op
        for signature in SIGNATURES
        for function in [served.loaded.signatures[signature]]
        for graph in [function.graph.as_graph_def()]
        for nodes in [graph.node, *(body.node_def for body in graph.library.function)]
        for node in nodes
    }
    assert "ReadVariableOp" in kinds and "MatMul" in kinds
    assert "ResourceGather" not in kinds


def test_client_signatures_are_warmed_up(planted: Planted, served) -> None:
    from tensorflow_serving.apis import prediction_log_pb2

    asked = set()
    for record in tf.data.TFRecordDataset(str(planted.model / warmup.REQUESTS)).as_numpy_iterator():
        request = prediction_log_pb2.PredictionLog.FromString(record).predict_log.request
        name = request.model_spec.signature_name
        inputs = {alias: tf.make_ndarray(proto) for alias, proto in request.inputs.items()}
        assert served(name, **inputs), name
        asked.add(name)
    assert asked == SIGNATURES - {"evaluate"}


def test_normalized_network_is_published_normalized(planted: Planted) -> None:
    learned = TransformGraph(str(planted.model.parent.parent / "transform"))
    sizes = TableSizes(len(LEFT) + 1, len(RIGHT) + 1)
    network = build_model(sizes, ModelSettings(dimension=DIMENSION, bias=False, normalize=True), seed=1)
    model = PublishedModel(network, learned, shared=False)
    rows = np.arange(len(RIGHT))
    expected = network.predict([rows[:, None], rows[:, None]], verbose=0)[:, 0]
    answer = model.score(tf.constant(LEFT[: len(RIGHT)]), tf.constant(RIGHT))["score"].numpy()
    np.testing.assert_allclose(answer, expected, atol=1e-6)


def test_value_of_log_odds_is_the_expected_score(planted: Planted, tmp_path: Path) -> None:
    learned = TransformGraph(str(planted.model.parent.parent / "transform"))
    network = build_model(TableSizes(len(LEFT) + 1, len(RIGHT) + 1), ModelSettings(dimension=DIMENSION), seed=1)
    saved_model.export(network, learned, False, str(tmp_path), scores=(-1.0, 3.0), log_odds=0.5)
    tables, loaded = read_tables(str(tmp_path)), tf.saved_model.load(str(tmp_path))
    left, right = _every_pair()
    answer = loaded.signatures["score"](left_id=tf.constant(left), right_id=tf.constant(right))
    value, score = answer["value"].numpy(), answer["score"].numpy()
    np.testing.assert_allclose(value, -1 + 4 / (1 + np.exp(-0.5 * score)), rtol=1e-5)
    np.testing.assert_allclose(tables.values(score), value, rtol=1e-6)
    examples = tf.constant([_example(one, other) for one, other in zip(left, right, strict=True)])
    np.testing.assert_array_equal(loaded.signatures["evaluate"](examples=examples)["value"], value)


def test_value_is_clipped_to_the_labels_of_training(planted: Planted, tmp_path: Path) -> None:
    """The score is not clipped, and the tables on disk give the same values as the signatures."""
    learned = TransformGraph(str(planted.model.parent.parent / "transform"))
    network = build_model(TableSizes(len(LEFT) + 1, len(RIGHT) + 1), ModelSettings(dimension=DIMENSION), seed=1)
    saved_model.export(network, learned, False, str(tmp_path), scores=(99.95, 100.01))
    tables, loaded = read_tables(str(tmp_path)), tf.saved_model.load(str(tmp_path))
    left, right = _every_pair()
    answer = loaded.signatures["score"](left_id=tf.constant(left), right_id=tf.constant(right))
    value, score = answer["value"].numpy(), answer["score"].numpy()
    unclipped = score * 5.0 + 100.0
    assert unclipped.min() < 99.95 and unclipped.max() > 100.01
    np.testing.assert_allclose(value, np.clip(unclipped, 99.95, 100.01), atol=1e-4)
    assert value.min() == np.float32(99.95) and value.max() == np.float32(100.01)
    np.testing.assert_array_equal(tables.values(score), value)
    examples = tf.constant([_example(one, other) for one, other in zip(left, right, strict=True)])
    np.testing.assert_array_equal(loaded.signatures["evaluate"](examples=examples)["value"], value)
