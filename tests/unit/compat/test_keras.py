"""Private names of Keras, and training without them."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

import compat.keras
from compat.imports import is_version
from compat.tensorflow import TESTED
from trainer.data.pairs import Pairs
from trainer.gradient import optimizers
from trainer.model.table_sizes import TableSizes
from trainer.settings import EarlyStoppingSettings, ModelSettings, TrainSettings
from trainer.training import fitting
from trainer.training.devices import strategy_of

pytestmark = pytest.mark.tensorflow

SETTINGS = TrainSettings(epochs=6, batch_size=32, learning_rate=0.1, early_stopping=EarlyStoppingSettings(patience=6))


def test_locked_keras_has_used_names() -> None:
    assert is_version("keras", TESTED["keras"])
    assert compat.keras.has_variable_index()
    assert compat.keras.trains_on_several_devices()


def test_index_is_the_place_of_the_variable() -> None:
    optimizer = keras.optimizers.SGD(0.1)
    variables = [keras.Variable(np.zeros(size, np.float32)) for size in (2, 3)]
    optimizer.build(variables)
    assert [compat.keras.variable_index(optimizer, variable.value) for variable in variables] == [0, 1]


def test_keras_builds_nothing_from_a_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    built: list[str] = []
    monkeypatch.setattr(keras.Model, "_maybe_symbolic_build", lambda *_, **__: built.append("Keras"))
    network = keras.Sequential([keras.layers.Dense(1)])
    network.compile("sgd", "mse")
    network.fit(np.zeros((4, 2)), np.zeros((4, 1)), verbose=0)
    assert built, "fit still calls the method that BuiltModel overrides"
    fitting.fit(_pairs(), TableSizes(21, 11), ModelSettings(dimension=4), SETTINGS.replace(epochs=1))
    assert built == ["Keras"]


@pytest.mark.parametrize("optimizer", ["adagrad", "adam", "sgd"])
def test_training_falls_back_to_keras_optimizers(optimizer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(optimizers, "has_variable_index", lambda: False)
    settings = SETTINGS.replace(optimizer=optimizer)
    assert type(optimizers.build_optimizer(settings)).__module__.startswith("keras.")
    _, history = fitting.fit(_pairs(), TableSizes(21, 11), ModelSettings(dimension=4), settings)
    assert history["rmse"][-1] < 0.98 * history["rmse"][0]


def test_training_falls_back_to_one_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainer.training.devices.trains_on_several_devices", lambda: False)
    strategy_of.cache_clear()
    try:
        assert strategy_of("all") is tf.distribute.get_strategy()
    finally:
        strategy_of.cache_clear()


def _pairs() -> Pairs:
    draw = np.random.default_rng(1)
    left, right = draw.integers(0, 20, 600).astype(np.int32), draw.integers(0, 10, 600).astype(np.int32)
    return Pairs(left, right, ((left % 3) - (right % 2) + draw.normal(0, 0.1, 600)).astype(np.float32))
