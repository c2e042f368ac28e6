"""Fitting: recovers planted structure, follows the seed, keeps the best epoch, and reports divergence."""

from __future__ import annotations

import dataclasses
import itertools
import json
import re
import types
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from errors import TrainingDiverged, TrainingError, TrainingTooLarge
from trainer import epochs, run_fn
from trainer.data.pairs import Pairs
from trainer.data.sharded_pairs import collect
from trainer.model.network import GLOBAL_BIAS, LEFT_BIAS, LEFT_VECTORS, RIGHT_BIAS, RIGHT_VECTORS
from trainer.model.table_sizes import TableSizes
from trainer.settings import (
    EarlyStoppingSettings,
    ModelSettings,
    NegativeSettings,
    TrainSettings,
    training_settings,
)
from trainer.training import fitting

pytestmark = [pytest.mark.tensorflow, pytest.mark.filterwarnings("ignore:Even though the `tf.config")]

NOISE = 0.1
LEFTS, RIGHTS = 40, 30
# One more row on each side than any pair uses, for the out-of-vocabulary bucket.
SIZES = TableSizes(LEFTS + 1, RIGHTS + 1)
MODEL = ModelSettings(dimension=4, bias=True, regularization=0.0, initial_scale=0.3)
QUICK = TrainSettings(epochs=2, batch_size=128, optimizer="adam", learning_rate=0.02, early_stopping=None, seed=7)


@pytest.fixture
def eagerly():
    """Runs without tracing, which takes a tenth of the time for a fit of a few steps and computes the same."""
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


def _planted(seed: int = 3) -> tuple[Pairs, Pairs]:
    """Returns pairs with labels of rank 2 plus biases and noise: two thirds for training, the rest for tests."""
    random = np.random.default_rng(seed)
    left, right = (grid.ravel().astype(np.int32) for grid in np.meshgrid(range(LEFTS), range(RIGHTS), indexing="ij"))
    p, q = random.normal(size=(LEFTS, 2)), random.normal(size=(RIGHTS, 2))
    label = (p @ q.T + random.normal(size=(LEFTS, 1)) + random.normal(size=RIGHTS))[left, right]
    pairs = Pairs(left, right, (label + NOISE * random.normal(size=len(label))).astype(np.float32))
    return pairs.hold_out(1 / 3, seed)


def _rmse(network, pairs: Pairs) -> float:
    scores = network([pairs.left[:, None], pairs.right[:, None]]).numpy()[:, 0]
    return float(np.sqrt(((scores - pairs.label) ** 2).mean()))


def _tables(network) -> dict[str, np.ndarray]:
    return {layer.name: layer.get_weights()[0] for layer in network.layers if layer.weights}


def test_planted_structure_is_recovered() -> None:
    known, new = _planted()
    settings = QUICK.replace(epochs=25, batch_size=32, learning_rate=0.05)
    model = MODEL.replace(dimension=2, regularization=0.0005)
    network, history = fitting.fit(known, SIZES, model, settings)
    deviation = new.label.std()
    assert deviation > 10 * NOISE
    # No model can be better than the noise. An eighth of the degrees of freedom are parameters.
    assert NOISE * 0.8 < _rmse(network, new) < NOISE * 1.6
    assert len(history["loss"]) == 25
    assert history["loss"][-1] < history["loss"][0] / 20


@pytest.mark.parametrize(("optimizer", "rate"), [("adagrad", 0.1), ("adam", 0.02), ("sgd", 0.5)])
def test_every_optimizer_learns(optimizer: str, rate: float) -> None:
    known, _ = _planted()
    settings = QUICK.replace(epochs=4, optimizer=optimizer, learning_rate=rate)
    _, history = fitting.fit(known, SIZES, MODEL, settings)
    assert history["loss"][-1] < 0.9 * history["loss"][0]
    assert set(history) == {"loss", "rmse"}  # nothing was held out, as early_stopping requires


def test_seed_determines_weights() -> None:
    known, _ = _planted()
    stopping = EarlyStoppingSettings(validation_fraction=0.1)
    settings = QUICK.replace(batch_size=400, early_stopping=stopping)

    def fit(already_drawn: int) -> dict[str, np.ndarray]:
        tf.random.set_seed(already_drawn)  # the state of the process does not matter
        return _tables(fitting.fit(known, SIZES, MODEL, settings)[0])

    first, again = fit(1), fit(2)
    for name, table in first.items():
        np.testing.assert_array_equal(table, again[name], err_msg=name)
    other = _tables(fitting.fit(known, SIZES, MODEL, settings.replace(seed=8))[0])
    assert all((first[name] != other[name]).any() for name in (LEFT_VECTORS, RIGHT_VECTORS, LEFT_BIAS, RIGHT_BIAS))


def _overfitting(patience: int, epochs: int) -> tuple[Pairs, object, fitting.History]:
    """Trains on labels of pure noise, which makes validation worse. Also returns the held-out rows."""
    random = np.random.default_rng(1)
    left, right = (random.integers(0, 10, 200).astype(np.int32) for _ in range(2))
    pairs = Pairs(left, right, random.normal(size=200).astype(np.float32))
    stopping = EarlyStoppingSettings(validation_fraction=0.3, patience=patience)
    settings = QUICK.replace(epochs=epochs, learning_rate=0.1, early_stopping=stopping)
    network, history = fitting.fit(pairs, TableSizes(10, 10), MODEL, settings)
    kept, held_out = pairs.hold_out(0.3, settings.seed)
    assert set(held_out.left) <= set(kept.left) and set(held_out.right) <= set(kept.right)  # no row was cleared
    return held_out, network, history


def test_early_stopping_keeps_best_epoch() -> None:
    held_out, network, history = _overfitting(patience=3, epochs=40)
    best = int(np.argmin(history["val_rmse"]))
    assert len(history["val_rmse"]) == best + 1 + 3 < 40
    assert history["val_rmse"][-1] > history["val_rmse"][best] * 1.001
    assert _rmse(network, held_out) == pytest.approx(history["val_rmse"][best], rel=1e-5)


def test_best_epoch_is_kept_within_patience() -> None:
    held_out, network, history = _overfitting(patience=50, epochs=6)
    best = int(np.argmin(history["val_rmse"]))
    assert len(history["val_rmse"]) == 6 and best < 5
    assert history["val_rmse"][-1] > history["val_rmse"][best] * 1.001
    assert _rmse(network, held_out) == pytest.approx(history["val_rmse"][best], rel=1e-5)


@pytest.mark.usefixtures("eagerly")
def test_single_row_trains() -> None:
    row = Pairs(np.array([1], np.int32), np.array([2], np.int32), np.array([0.5], np.float32))
    settings = QUICK.replace(epochs=8, learning_rate=0.1, early_stopping=EarlyStoppingSettings())
    network, _ = fitting.fit(row, TableSizes(3, 4), MODEL, settings)
    assert _rmse(network, row) < 0.2


def test_divergence_names_epoch_and_learning_rate() -> None:
    known, _ = _planted()
    settings = QUICK.replace(epochs=30, optimizer="sgd", learning_rate=5e4)
    with pytest.raises(TrainingDiverged) as diverged:
        fitting.fit(known, SIZES, MODEL, settings)
    assert isinstance(diverged.value, TrainingError) and diverged.value.exit_code == 1
    found = re.fullmatch(
        r"train: the loss became (nan|inf) in epoch (\d+) at train\.learning_rate 50000\.0\. "
        r"Try 5000, or raise model\.regularization",
        str(diverged.value),
    )
    assert found and 1 <= int(found[2]) <= 30


@pytest.mark.usefixtures("eagerly")
@pytest.mark.parametrize("stopping", [None, EarlyStoppingSettings()])
def test_divergence_in_last_step_is_detected(stopping: EarlyStoppingSettings | None) -> None:
    """The loss of the only batch is the initial one. Its step makes the weights infinite."""
    known, _ = _planted()
    huge = dataclasses.replace(known, label=known.label * np.float32(1e10))
    settings = QUICK.replace(epochs=1, batch_size=10_000, optimizer="sgd", learning_rate=1e38, early_stopping=stopping)
    with pytest.raises(TrainingDiverged, match="a weight became infinite or NaN in epoch 1 at"):
        fitting.fit(huge, SIZES, MODEL, settings)


@pytest.mark.usefixtures("eagerly")
@pytest.mark.parametrize("shared", [False, True])
def test_rows_without_pairs_are_zero(shared: bool) -> None:
    left, right = np.array([0, 2, 2], np.int32), np.array([1, 1, 4], np.int32)
    sizes = TableSizes(6, 6, shared=True) if shared else TableSizes(4, 6)
    network, _ = fitting.fit(Pairs(left, right, np.array([1, -1, 2], np.float32)), sizes, MODEL, QUICK)
    tables = _tables(network)
    if shared:
        zero = {LEFT_VECTORS: [3, 5], LEFT_BIAS: [1, 3, 4, 5], RIGHT_BIAS: [0, 2, 3, 5]}
    else:
        zero = {LEFT_VECTORS: [1, 3], RIGHT_VECTORS: [0, 2, 3, 5], LEFT_BIAS: [1, 3], RIGHT_BIAS: [0, 2, 3, 5]}
    assert set(tables) == {*zero, GLOBAL_BIAS}
    for name, rows in zero.items():
        assert np.flatnonzero(~tables[name].any(axis=1)).tolist() == rows, name


@pytest.mark.usefixtures("eagerly")
def test_held_out_rows_are_not_trained() -> None:
    """Each id occurs once, so the ids of held-out rows stay zero."""
    rows = np.arange(20, dtype=np.int32)
    pairs = Pairs(rows, rows, np.ones(20, np.float32))
    stopping = EarlyStoppingSettings(validation_fraction=0.25)
    network, _ = fitting.fit(pairs, TableSizes(20, 20), MODEL, QUICK.replace(early_stopping=stopping))
    untouched = np.flatnonzero(~_tables(network)[LEFT_VECTORS].any(axis=1))
    assert len(untouched) == 5
    np.testing.assert_array_equal(untouched, pairs.hold_out(0.25, QUICK.seed)[1].left)


def test_settings_round_trip_as_json() -> None:
    for stopping in (None, EarlyStoppingSettings(validation_fraction=0.2, patience=5, min_delta=0.01)):
        train = TrainSettings(
            epochs=3, batch_size=64, optimizer="sgd", learning_rate=0.5, early_stopping=stopping, seed=9
        )
        model = ModelSettings(dimension=8, bias=False, objective="regression", regularization=0.3, initial_scale=0.4)
        sections = {"model": model.model_dump(), "train": train.model_dump(), "encode": {}, "code": "x"}
        assert training_settings(json.loads(json.dumps(sections)))[1:] == (model, train)


def test_training_record_is_json(tmp_path: Path) -> None:
    run_fn._write_json(str(tmp_path / "run"), epochs.HISTORY_FILE, {"loss": [1.5, 0.5]})
    assert json.loads((tmp_path / "run" / epochs.HISTORY_FILE).read_text()) == {"loss": [1.5, 0.5]}


def _expected(arguments: tuple[object, ...], columns: object, pairs: Pairs) -> Pairs:
    assert arguments == (columns, "encoder", 2048 << 20)
    return pairs


@pytest.mark.usefixtures("eagerly")
def test_run_fn_connects_its_parts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Other tests cover the parts. This one checks how they are connected."""
    known, _ = _planted()
    exported, projected = [], []
    sizes = {"left": LEFTS, "right": RIGHTS}
    graph = types.SimpleNamespace(
        vocabulary_size_by_name=sizes.get,
        transform_features_layer=lambda: "encoder",
        raw_feature_spec=lambda: {"left_id": 1, "right_id": 1, "score": 1},
    )
    monkeypatch.setattr(run_fn, "TransformGraph", {"graph": graph}.__getitem__)
    columns = types.SimpleNamespace(count=lambda split: len(known))
    monkeypatch.setattr(run_fn, "Examples", {"examples": columns}.__getitem__)
    monkeypatch.setattr(run_fn.dataset, "load", lambda *arguments: _expected(arguments[:3], columns, known))
    monkeypatch.setattr(run_fn.saved_model, "export", lambda *arguments: exported.append(arguments))
    monkeypatch.setattr(run_fn.dataset, "score_range", lambda examples: (1.0, 5.0))
    monkeypatch.setattr(run_fn.projector, "write", lambda *arguments: projected.append(arguments))
    monkeypatch.setattr(
        run_fn.warm_start,
        "from_published",
        lambda base, graph, sizes, model: (None, {"base_model": base, "cold": "why"}),
    )
    config = {
        "encode": {"oov_buckets": 2},
        "model": MODEL.model_dump(),
        "train": QUICK.replace(warm_start=True).model_dump(),
        "metric": "rmse",
        "approximate": "auto",
        "hold_out": "random",
    }
    run_dir = tmp_path / "model_run" / "7"
    run_fn.run_fn(
        types.SimpleNamespace(
            custom_config=config,
            transform_output="graph",
            train_files=["examples/Split-train/*"],
            base_model="base",
            hyperparameters={"values": {"model.dimension": 5, "train.epochs": 3}},  # in the format of the Tuner
            serving_model_dir="model",
            model_run_dir=str(run_dir),
        )
    )
    ((network, transform, shared, directory, hashes, limits, *more),) = exported
    assert (transform, shared, directory, hashes, limits) == (graph, False, "model", 1, (1.0, 5.0))
    assert (more[0], more[-2:]) == ({}, ["auto", 0.0])  # no features, publish.approximate, no log odds
    assert _tables(network)[LEFT_VECTORS].shape == (LEFTS + 2, 5)
    assert _tables(network)[RIGHT_VECTORS].shape == (RIGHTS + 2, 5)
    assert len(json.loads((run_dir / epochs.HISTORY_FILE).read_text())["loss"]) == 3
    assert json.loads((run_dir / "warm_start.json").read_text()) == {"base_model": "base", "cold": "why"}
    assert projected == [(network, graph, False, str(run_dir))]
    assert not (tmp_path / "unfinished").exists()


GROUPS = 4


def _positives(lefts: int, rights: int) -> tuple[Pairs, np.ndarray]:
    """Returns three quarters of the pairs within a group, and which pairs are within one."""
    same = np.equal.outer(np.arange(lefts) % GROUPS, np.arange(rights) % GROUPS)
    left, right = (side.astype(np.int32) for side in np.nonzero(same))
    seen = np.random.default_rng(1).random(len(left)) < 3 / 4
    return Pairs(left[seen], right[seen], np.ones(seen.sum(), np.float32)), same


def _all_scores(network, shape: tuple[int, int]) -> np.ndarray:
    left, right = (side.ravel()[:, None] for side in np.indices(shape))
    return network.predict_on_batch([left, right]).reshape(shape)


@pytest.mark.parametrize(
    ("objective", "normalize"),
    [*itertools.product(["logistic", "softmax", "pairwise"], [False, True]), ("cosine", False), ("lightgcn", False)],
)
def test_positives_recover_groups_and_sign(objective: str, normalize: bool) -> None:
    pairs, same = _positives(120, 80)
    temperature = 0.2 if normalize or objective == "lightgcn" else 1.0
    # For cosine, a margin and a weight of so few entities.
    cosine = {"margin": 0.2, "negative_weight": 4.0} if objective == "cosine" else {}
    model = ModelSettings(
        dimension=4,
        bias=False,
        objective=objective,
        regularization=0.03,
        initial_scale=0.3,
        normalize=normalize,
        temperature=temperature,
        negatives=NegativeSettings(count=8 if objective != "cosine" else 50),
        **cosine,
    )
    # The ranking of a hundred held-out pairs is too noisy to end the training early.
    epochs = 40 if cosine else 15
    patient = EarlyStoppingSettings(patience=epochs)
    settings = QUICK.replace(epochs=epochs, batch_size=64, learning_rate=0.03, early_stopping=patient)
    if objective == "lightgcn":
        settings = settings.replace(optimizer="adam")
    network, _ = fitting.fit(pairs, TableSizes(121, 81), model, settings)
    scores = _all_scores(network, same.shape)
    unseen = same.copy()
    unseen[pairs.left, pairs.right] = False
    assert (scores[unseen][:, None] > scores[~same][None, :]).mean() > 0.98  # the area under the ROC curve
    # The hinge of a cosine does not push positives apart from the margin as far as a logistic loss does.
    assert (scores[unseen] > 0).mean() > (0.75 if cosine else 0.85) and (scores[~same] < 0).mean() > 0.95


def test_logistic_learns_signs() -> None:
    known, new = _planted()
    model = MODEL.replace(objective="logistic", regularization=0.001)
    network, history = fitting.fit(known, SIZES, model, QUICK.replace(epochs=20, batch_size=64))
    clear = np.abs(new.label) > 1
    scores = network.predict_on_batch([new.left[:, None], new.right[:, None]])[:, 0]
    assert (np.sign(scores) == np.sign(new.label))[clear].mean() > 0.85
    assert set(history) == {"loss"}


class _Killed(BaseException):
    """The process ends in the middle of an epoch."""


@pytest.mark.parametrize("optimizer", ["adagrad", "adam"])
@pytest.mark.parametrize("objective", ["regression", "pairwise"])
def test_resumed_training_gives_same_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, optimizer: str, objective: str
) -> None:
    known = _planted()[0] if objective == "regression" else _positives(LEFTS, RIGHTS)[0]
    model = MODEL.replace(objective=objective)
    stopping = EarlyStoppingSettings(validation_fraction=0.2, patience=7)
    settings = QUICK.replace(epochs=7, batch_size=64, optimizer=optimizer, early_stopping=stopping)

    def fit(place: Path) -> tuple[dict[str, np.ndarray], fitting.History]:
        network, history = fitting.fit(known, SIZES, model, settings, fitting.TrainingFolders(epochs=str(place)))
        return _tables(network), history

    whole, history = fit(tmp_path / "whole")
    finish = epochs.Epochs.finish

    def die_in_epoch_4(self: epochs.Epochs, measured: dict[str, float], last: bool) -> None:
        if self.done == 3:
            raise _Killed
        finish(self, measured, last)

    with monkeypatch.context() as patched:
        patched.setattr(epochs.Epochs, "finish", die_in_epoch_4)
        with pytest.raises(_Killed):
            fit(tmp_path / "killed")
    resumed, resumed_history = fit(tmp_path / "killed")
    assert resumed_history == history and len(history["loss"]) > 4
    for name, table in whole.items():
        np.testing.assert_array_equal(resumed[name], table, err_msg=name)


def test_shards_train_like_memory(tmp_path: Path) -> None:
    known, new = _planted()
    weights = np.ones(len(known), np.float32)
    sharded = collect(iter([dataclasses.replace(known, weight=weights)]), 100, str(tmp_path))
    assert not isinstance(sharded, Pairs)
    settings = QUICK.replace(epochs=20, batch_size=32, early_stopping=EarlyStoppingSettings(validation_fraction=0.1))
    model = MODEL.replace(dimension=2, regularization=0.0005)
    network, history = fitting.fit(sharded, SIZES, model, settings)
    assert _rmse(network, new) < NOISE * 2
    assert history["val_rmse"][-1] < NOISE * 2


def test_too_large_training_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fitting.memory, "available", lambda: 1000)
    with pytest.raises(TrainingTooLarge):
        fitting.fit(_planted()[0], SIZES, MODEL, QUICK)


@pytest.mark.parametrize(
    ("optimizer", "objective"), [("adam", "regression"), ("als", "regression"), ("adam", "logistic")]
)
def test_monitored_metrics_count_weights(optimizer: str, objective: str) -> None:
    """The metric of the held-out rows is that of the final network, with each row as often as its weight says."""
    pairs, _ = _planted()
    weight = np.random.default_rng(2).integers(1, 9, len(pairs)) / np.float32(4)
    pairs = dataclasses.replace(pairs, weight=weight.astype(np.float32))
    settings = QUICK.replace(epochs=3, optimizer=optimizer, early_stopping=EarlyStoppingSettings(patience=9))
    network, history = fitting.fit(pairs, SIZES, MODEL.replace(objective=objective), settings)
    _, held_out = pairs.hold_out(settings.early_stopping.validation_fraction, settings.seed)
    scores = network([held_out.left[:, None], held_out.right[:, None]]).numpy()[:, 0].astype(np.float64)
    if objective == "regression":
        found = np.sqrt(np.average((scores - held_out.label) ** 2, weights=held_out.weight))
    else:
        sign = np.where(held_out.label > 0, 1, -1)
        found = np.average(np.log1p(np.exp(-sign * scores)), weights=held_out.weight)
    name = "val_rmse" if objective == "regression" else "val_loss"
    assert found == pytest.approx(min(history[name]), rel=1e-4)
