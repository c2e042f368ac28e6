"""Unknown ids with several hashes, in training and serving, compared with reference hashes and means in NumPy."""

from __future__ import annotations

import types
from pathlib import Path

import farmhash
import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from tests import written_examples
from tests.unit.trainer.siphash import siphash
from tests.unit.trainer.transforms import Row, analyze
from trainer import run_fn
from trainer.data import dataset, hashing
from trainer.data.examples import Examples
from trainer.data.hashing import Numbering, hash_buckets
from trainer.data.pairs import Pairs, TrainingPairs
from trainer.data.sharded_pairs import ShardedPairs
from trainer.export import saved_model
from trainer.export.tables import read_tables
from trainer.model.network import LEFT_BIAS, LEFT_VECTORS, RIGHT_BIAS, RIGHT_VECTORS, build_model
from trainer.model.table_sizes import TableSizes, table_sizes
from trainer.search.space import Family, TuneSettings
from trainer.search.tuning import tune
from trainer.settings import EarlyStoppingSettings, EncodeSettings, ModelSettings, TrainSettings
from trainer.training import fitting
from trainer.training.base_model import read_model, read_vocabulary
from trainer.training.warm_start import prepare

pytestmark = [pytest.mark.tensorflow, pytest.mark.filterwarnings("ignore:Even though the `tf.config")]

HASHES, BUCKETS = 3, 7
ENCODE = EncodeSettings(min_count=2, oov_buckets=BUCKETS, oov_hashes=HASHES)
# All bytes except line ends, which ids cannot contain (docs/decisions/0005). Also surrounding spaces, zeros, other
# scripts, and a long id.
HOSTILE = [
    *(bytes([byte]) for byte in range(256) if byte not in b"\r\n"),
    *(b"", b"  ", b"a ", b" a", b"007", b"07", b"\0\0", b"\xff\xfe", b"x" * 1024),
    *(name.encode() for name in ("é", "e\u0301", "🎬 film")),
]
OFTEN = HOSTILE[::5]


def test_siphash_matches_its_paper() -> None:
    """Appendix A: the key and the message are the first bytes."""
    key = (0x0706050403020100, 0x0F0E0D0C0B0A0908)
    assert siphash(key, bytes(range(15))) == 0xA129CA6149BE45E5


@given(names=st.lists(st.binary(max_size=40), min_size=1), buckets=st.integers(1, 10**6), hashes=st.integers(1, 4))
def test_buckets_match_reference_hashes(names: list[bytes], buckets: int, hashes: int) -> None:
    found = hash_buckets(tf.constant(names, tf.string), buckets, hashes).numpy().tolist()
    for name, row in zip(names, found, strict=True):
        others = [siphash((0x6B696E64726564, number), name) % buckets for number in range(1, hashes)]
        assert row == [farmhash.Fingerprint64(name) % buckets, *others]


@given(
    rows=st.lists(st.tuples(*[st.integers(0, 9)] * 2) | st.integers(-5, -1).map(lambda n: (n, n)), max_size=60),
    cuts=st.lists(st.integers(0, 60), max_size=3),
)
def test_numbers_map_back_to_rows(rows: list[tuple[int, int]], cuts: list[int]) -> None:
    """Five known ids, then ten buckets. Negative rows represent known ids."""
    table = np.array([[5 + a, 5 + b] for a, b in rows], np.int64).reshape(-1, 2)
    numbering = Numbering(5, 2)
    parts = [numbering.number(part) for part in np.split(table, sorted(min(cut, len(rows)) for cut in cuts))]
    numbers = np.concatenate(parts).tolist()
    unknown = list(dict.fromkeys(row for row in map(tuple, table.tolist()) if row[0] >= 5))
    assert numbers == [5 + unknown.index(row) if row[0] >= 5 else row[0] for row in map(tuple, table.tolist())]
    assert numbering.rows.tolist() == list(map(list, unknown))
    assert len(numbering) == 5 + len(unknown)
    touched = numbering.touched(np.isin(np.arange(len(numbering)), numbers), 20)
    assert np.flatnonzero(touched).tolist() == sorted(set(table.ravel().tolist()))


def _rows() -> list[Row]:
    """Returns every hostile id once on each side, and those of `OFTEN` three more times."""
    ids = HOSTILE + OFTEN * 3
    return [(left, right, float(i % 5)) for i, (left, right) in enumerate(zip(ids, ids[::-1], strict=True))]


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory):
    score = {"center": "mean", "scale": "none"}
    return analyze(_rows(), tmp_path_factory.mktemp("hashed"), encode=ENCODE.model_dump(), score=score)


def _expected_rows(learned, side: str, names: list[bytes]) -> np.ndarray:
    vocabulary = learned.vocabulary_by_name(side)
    keys = [(hashing._KEY, number) for number in range(1, HASHES)]

    def rows(name: bytes) -> list[int]:
        if name in vocabulary:
            return [vocabulary.index(name)] * HASHES
        hashes = [farmhash.Fingerprint64(name), *(siphash(key, name) for key in keys)]
        return [len(vocabulary) + value % BUCKETS for value in hashes]

    return np.array([rows(name) for name in names])


def test_training_hashes_only_unknown_ids(learned) -> None:
    names = [*HOSTILE, b"never seen", b"\xc3"]
    raw = {"left_id": tf.constant(names)[:, None], "right_id": tf.constant(names)[:, None]}
    encoded = learned.transform_features_layer()(raw | {"score": tf.zeros((len(names), 1))})
    assert set(learned.vocabulary_by_name("left")) == set(OFTEN)
    for side in ("left", "right"):
        np.testing.assert_array_equal(encoded[side].numpy(), _expected_rows(learned, side, names))
    assert encoded["label"].shape == (len(names), 1)


@pytest.fixture(scope="module", params=[False, True], ids=["plain", "normalized"])
def published(request: pytest.FixtureRequest, learned, tmp_path_factory: pytest.TempPathFactory):
    """An untrained model with random numbers: its tables, its network and its path."""
    known = len(OFTEN)
    sizes = TableSizes(known + BUCKETS, known + BUCKETS)
    network = build_model(sizes, ModelSettings(dimension=4, normalize=request.param), seed=1)
    random = np.random.default_rng(3)
    tables = {}
    for name in (LEFT_VECTORS, RIGHT_VECTORS, LEFT_BIAS, RIGHT_BIAS):
        tables[name] = random.normal(size=network.get_layer(name).get_weights()[0].shape).astype(np.float32)
        network.get_layer(name).set_weights([tables[name]])
    path = tmp_path_factory.mktemp("published") / "1"
    saved_model.export(network, learned, False, str(path), HASHES)
    return tables, request.param, path


def _composed(learned, published, side: str, names: list[bytes]) -> tuple[np.ndarray, np.ndarray]:
    """Returns the expected vectors and biases: means of rows in float64, then normalized."""
    tables, normalized, _ = published
    rows = _expected_rows(learned, side, names)
    vectors = tables[f"{side}_vectors"].astype(np.float64)[rows].mean(axis=1)
    if normalized:
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors, tables[f"{side}_bias"].astype(np.float64)[rows, 0].mean(axis=1)


def test_unknown_ids_get_mean_of_rows(learned, published) -> None:
    served = tf.saved_model.load(str(published[2])).signatures
    names = [*HOSTILE, b"never seen"]
    known = np.isin(np.array(names, object), np.array(OFTEN, object))
    (left, left_bias), (right, right_bias) = (_composed(learned, published, side, names) for side in ("left", "right"))
    for side, vectors in (("left", left), ("right", right)):
        answer = served[f"embed_{side}"](tf.constant(names))
        np.testing.assert_allclose(answer["embedding"].numpy(), vectors, rtol=2e-5, atol=1e-6)
        assert answer["known"].numpy().tolist() == known.tolist()
    turned = names[::-1]
    scores = (left * right[::-1]).sum(axis=1) + left_bias + right_bias[::-1]
    answer = served["score"](left_id=tf.constant(names), right_id=tf.constant(turned))
    np.testing.assert_allclose(answer["score"].numpy(), scores, rtol=1e-4, atol=1e-5)
    assert answer["right_known"].numpy().tolist() == known[::-1].tolist()
    catalogue = learned.vocabulary_by_name("right")
    vectors, bias = _composed(learned, published, "right", catalogue)
    unknown = [b"never seen", HOSTILE[1]]
    of_unknown, own_bias = _composed(learned, published, "left", unknown)
    answer = served["similar_right"](left_id=tf.constant(unknown), k=tf.constant(len(catalogue)))
    expected = of_unknown @ vectors.T + bias + own_bias[:, None]
    for row, ids, values in zip(expected, answer["right_id"].numpy(), answer["score"].numpy(), strict=True):
        np.testing.assert_allclose(values, np.sort(row)[::-1], rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose([row[catalogue.index(name)] for name in ids], values, rtol=1e-4, atol=1e-5)
    answer = served["neighbors_right"](right_id=tf.constant(unknown), k=tf.constant(3))
    queries = _composed(learned, published, "right", unknown)[0]
    cosines = queries @ vectors.T / np.linalg.norm(queries, axis=1)[:, None] / np.linalg.norm(vectors, axis=1)
    np.testing.assert_allclose(answer["score"].numpy(), -np.sort(-cosines)[:, :3], rtol=1e-4, atol=1e-5)
    # Filters consider only known candidates. An unknown one matches nothing.
    filtered = served["similar_right_filtered"](
        left_id=tf.constant(unknown),
        k=tf.constant(9),
        exclude=tf.constant([b"never seen"]),
        candidates=tf.constant([catalogue[2], b"never seen", catalogue[0]]),
    )
    assert [set(row) for row in filtered["right_id"].numpy().tolist()] == [{catalogue[0], catalogue[2]}] * 2


def test_known_ids_keep_exact_rows(published, learned) -> None:
    tables, normalized, path = published
    embedded = tf.saved_model.load(str(path)).signatures["embed_left"](tf.constant(learned.vocabulary_by_name("left")))
    rows = tables[LEFT_VECTORS][: len(OFTEN)]
    np.testing.assert_array_equal(
        embedded["embedding"].numpy(), tf.math.l2_normalize(rows, axis=-1).numpy() if normalized else rows
    )


def test_rankings_use_served_vectors(published) -> None:
    names = [*HOSTILE, b"never seen"]
    served = tf.saved_model.load(str(published[2])).signatures["embed_left"](tf.constant(names))["embedding"].numpy()
    found = read_tables(str(published[2])).left.vectors_of(pa.array(names, pa.binary()))
    np.testing.assert_allclose(found, served, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize(("hashes", "kept"), [(HASHES, True), (2, False), (1, False)])
def test_warm_start_keeps_bucket_rows(learned, published, hashes, kept) -> None:
    base = read_model(str(published[2]))
    assert base.hashes == HASHES
    ids = [read_vocabulary(learned.vocabulary_file_by_name(side)) for side in ("left", "right")]
    rows = len(OFTEN) + BUCKETS
    start = prepare(base, (ids[0], ids[1]), (rows, rows), False, ModelSettings(dimension=4), base.unit, hashes)
    assert start.left.kept.tolist() == [True] * len(OFTEN) + [kept] * BUCKETS


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory) -> Examples:
    """`_rows` as ingestion writes them, in several blocks."""
    return written_examples.write(tmp_path_factory.mktemp("examples"), _rows(), per_shard=97)


def _config(**train: object) -> dict:
    """Returns the Trainer's `custom_config`."""
    return {
        "encode": ENCODE.model_dump(),
        "model": ModelSettings(dimension=4, regularization=0.01).model_dump(),
        "train": TrainSettings(epochs=3, batch_size=64).model_dump() | train,
        "metric": "rmse",
        "approximate": "auto",
        "hold_out": "random",
    }


def _train(learned, examples: Examples, folder: Path, config: dict, values: dict | None = None) -> None:
    run_fn.run_fn(
        types.SimpleNamespace(
            custom_config=config,
            transform_output=learned._transform_output_dir,
            base_model=None,
            hyperparameters={"values": values} if values else None,
            train_files=[f"{examples.uri}/Split-train/*"],
            serving_model_dir=str(folder / "1"),
            model_run_dir=str(folder / "run" / "1"),
        )
    )


def test_served_scores_match_network(
    learned, examples: Examples, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Runs the whole Trainer on hostile ids. Compares the served scores with those of the final network."""
    fitted = []
    fit = fitting.fit

    def remembered(pairs: Pairs, sizes: TableSizes, *rest: object):
        fitted.append((pairs, sizes, fit(pairs, sizes, *rest)))
        return fitted[0][2]

    monkeypatch.setattr(run_fn.fitting, "fit", remembered)
    _train(learned, examples, tmp_path, _config())
    ((pairs, sizes, (network, _)),) = fitted
    assert sizes.left == table_sizes(learned, ENCODE).left == len(OFTEN) + BUCKETS
    assert sizes.entities[0] == len(np.unique(_expected_rows(learned, "left", HOSTILE), axis=0))
    served = tf.saved_model.load(str(tmp_path / "1")).signatures["score"]
    left, right, _ = zip(*_rows(), strict=True)
    scores = served(left_id=tf.constant(left), right_id=tf.constant(right))["score"].numpy()
    trained = network([pairs.left[:, None], pairs.right[:, None]]).numpy()[:, 0]
    np.testing.assert_allclose(scores, trained, rtol=1e-5, atol=1e-6)
    assert np.abs(trained).max() > 0.1


def _loaded(learned, examples: Examples, memory: int, folder: Path) -> tuple[TrainingPairs, TableSizes]:
    sizes = table_sizes(learned, ENCODE)
    encode = hashing.numbered(learned.transform_features_layer(), sizes.numberings)
    folder.mkdir()
    return dataset.load(examples, encode, memory, str(folder)), sizes


def _columns(pairs: TrainingPairs) -> np.ndarray:
    (whole,) = pairs.shuffled(np.random.default_rng(1), 10**6)
    columns = np.stack([whole.left, whole.right, whole.label])
    return columns[:, np.lexsort(columns)]


def test_hashed_shards_train_like_memory(learned, examples: Examples, tmp_path: Path) -> None:
    """With one batch per epoch, the order of pairs has no effect, so both must end with the same tables."""
    held, sizes = _loaded(learned, examples, 1 << 30, tmp_path / "memory")
    sharded, of_shards = _loaded(learned, examples, 0, tmp_path / "shards")
    assert isinstance(held, Pairs) and isinstance(sharded, ShardedPairs)
    assert sizes.entities == of_shards.entities and sizes.entities[0] > sizes.left
    np.testing.assert_array_equal(_columns(held), _columns(sharded))
    model = ModelSettings(dimension=4, regularization=0.01, initial_scale=0.3)
    settings = TrainSettings(epochs=15, batch_size=10**4, early_stopping=None)
    networks = [fitting.fit(*data, model, settings)[0] for data in ((held, sizes), (sharded, of_shards))]
    for of_memory, of_disk in zip(*(network.get_weights() for network in networks), strict=True):
        np.testing.assert_allclose(of_disk, of_memory, rtol=1e-3, atol=1e-5)


def test_rows_of_held_out_shards_are_zero(learned, examples: Examples, tmp_path: Path) -> None:
    sharded, sizes = _loaded(learned, examples, 0, tmp_path / "shards")
    stopping = EarlyStoppingSettings(validation_fraction=0.8)
    settings = TrainSettings(epochs=1, early_stopping=stopping, seed=5)
    network, history = fitting.fit(sharded, sizes, ModelSettings(dimension=4), settings)
    assert len(history["val_rmse"]) == 1
    kept = _columns(sharded.hold_out(0.8, 5)[0])
    for seen, numbering, name in zip(kept, sizes.numberings or (), (LEFT_VECTORS, RIGHT_VECTORS), strict=False):
        rows = {row for number in set(seen.astype(int)) for row in _rows_of(numbering, number)}
        assert np.flatnonzero(network.get_layer(name).get_weights()[0].any(axis=1)).tolist() == sorted(rows)
        assert len(rows) < len(OFTEN) + BUCKETS


def _rows_of(numbering: Numbering, number: int) -> list[int]:
    return [number] if number < numbering.known else numbering.rows[number - numbering.known].tolist()


def test_trial_of_sharded_pairs_matches_training(learned, examples: Examples, tmp_path: Path) -> None:
    """Trials share the pairs in shards and the numbers of the ids. Each must be independent of the others."""
    sharded, sizes = _loaded(learned, examples, 0, tmp_path / "shards")
    assert isinstance(sharded, ShardedPairs)
    model, train = ModelSettings(dimension=4), TrainSettings(epochs=1, batch_size=64)
    sections = {"model": model.model_dump(mode="json"), "train": train.model_dump(mode="json")}
    families = (Family(parameters={"train.learning_rate": {"choices": [0.01]}}),)
    settings = TuneSettings(trials=1, search="random", seed=1, families=families)
    found = tune(sharded, sizes, sections, "rmse", settings, None, lambda line: None)
    assert len({trial.value for trial in found.trials}) == 2
    kept, held = sharded.hold_out(0.1, 1)
    for trial in found.trials:
        own = train.replace(learning_rate=trial.settings.get("train.learning_rate", 0.1))
        network, _ = fitting.fit(kept, sizes, model, own, held=held)
        scores = np.asarray(network([held.left[:, None], held.right[:, None]]))[:, 0]
        label = np.concatenate([part.label for part in kept.shuffled(np.random.default_rng(0), 100)])
        errors = np.clip(scores, label.min(), label.max()) - held.label
        assert trial.value == pytest.approx(float((errors**2).mean() ** 0.5), rel=1e-5)
