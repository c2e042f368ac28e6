"""Tuning: finds better settings, survives failed trials, and resumes a killed search."""

from __future__ import annotations

import json
import types
from pathlib import Path
from typing import Any

import keras_tuner
import numpy as np
import pytest

from errors import TrainingDiverged, TrainingTooLarge
from trainer import tuning
from trainer.data.pairs import Pairs
from trainer.epochs import Monitor
from trainer.model.table_sizes import TableSizes
from trainer.settings import EncodeSettings, ModelSettings, TrainSettings, training_settings, with_values
from trainer.training import fitting

pytestmark = [pytest.mark.tensorflow, pytest.mark.filterwarnings("ignore::DeprecationWarning")]

SIZES = TableSizes(31, 21)
MEASURE = "val_rmse"


def _config(**tune: Any) -> dict[str, Any]:
    return {
        "encode": EncodeSettings().model_dump(),
        "model": ModelSettings(dimension=2, regularization=0.0, initial_scale=0.3).model_dump(),
        "train": TrainSettings(epochs=6, batch_size=64, optimizer="adam", learning_rate=0.05).model_dump(),
        "metric": "rmse",
        "tune": {"trials": 4, "search": "random", "seed": 1, **tune},
    }


def _pairs() -> Pairs:
    """Returns all pairs of a product of rank 2, which a tiny learning rate cannot learn."""
    random = np.random.default_rng(3)
    left, right = (grid.ravel().astype(np.int32) for grid in np.meshgrid(range(30), range(20), indexing="ij"))
    return Pairs(left, right, (random.normal(size=(30, 2)) @ random.normal(size=(2, 20))).ravel().astype(np.float32))


def _tuner(folder: Path, config: dict[str, Any]) -> tuning.SettingsTuner:
    return tuning.build_tuner(config, Monitor(MEASURE), str(folder / "unfinished" / "digest"))


def _search(tuner: tuning.SettingsTuner, pairs: Pairs | None = None) -> list[tuple[float, dict[str, Any]]]:
    """Returns the score and the settings of every finished trial, best first."""
    tuner.search(load=lambda directory: _pairs() if pairs is None else pairs, sizes=SIZES)
    ended = [trial for trial in tuner.oracle.get_best_trials(100) if trial.score is not None]
    return [(trial.score, trial.hyperparameters.values) for trial in ended]


def _fitting(monkeypatch: pytest.MonkeyPatch, fit: Any) -> list[float]:
    """Replaces training with `fit(learning_rate)`, which returns a metric. Returns the requested rates."""
    asked: list[float] = []

    def stand_in(
        pairs: Pairs, sizes: TableSizes, model: ModelSettings, settings: TrainSettings, metric: str
    ) -> tuple[None, dict]:
        asked.append(settings.learning_rate)
        return None, {MEASURE: [9.0, fit(settings.learning_rate), 8.0]}

    monkeypatch.setattr(fitting, "fit", stand_in)
    monkeypatch.setattr(tuning, "gc", types.SimpleNamespace(collect=lambda: None))  # nothing is large here
    return asked


RATES = {"train.learning_rate": {"min": 0.01, "max": 1.0, "scale": "log"}}


def test_better_setting_is_found(tmp_path: Path) -> None:
    config = _config(trials=2, space={"train.learning_rate": {"choices": [1e-6, 0.05]}})
    tuner, loaded = _tuner(tmp_path, config), []
    tuner.search(load=lambda directory: loaded.append(directory) or _pairs(), sizes=SIZES)
    assert len(loaded) == 1 and not Path(loaded[0]).exists()
    (best,) = tuner.get_best_hyperparameters()
    assert best.values == {"train.learning_rate": 0.05}
    good, bad = (trial.score for trial in tuner.oracle.get_best_trials(2))
    assert good < 0.8 * bad
    _, model, settings = training_settings(with_values(config, best.values))
    _, history = fitting.fit(_pairs(), SIZES, model, settings)
    assert min(history[MEASURE]) == good  # a trial is a training as in the Trainer


def _rates_asked(folder: Path, monkeypatch: pytest.MonkeyPatch, **tune: Any) -> list[float]:
    """Returns the rates of a search in which 0.1 is the best."""
    asked = _fitting(monkeypatch, lambda rate: 1 + abs(np.log10(rate) + 1))
    score, best = _search(_tuner(folder, _config(space=RATES, **tune)))[0]
    assert score == min(1 + abs(np.log10(rate) + 1) for rate in asked)
    assert score == 1 + abs(np.log10(best["train.learning_rate"]) + 1)
    assert all(0.01 <= rate <= 1 for rate in asked)
    return asked


def test_seed_determines_trials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, again = (_rates_asked(tmp_path, monkeypatch, trials=8) for _ in range(2))
    assert first == again and len(set(first)) == 8
    assert first != _rates_asked(tmp_path, monkeypatch, trials=8, seed=2)


@pytest.mark.filterwarnings("ignore:The optimal value found")  # from the kernel of scikit-learn
def test_bayesian_search_approaches_optimum(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = _rates_asked(tmp_path, monkeypatch, trials=6, search="bayesian")
    assert len(asked) == 6
    distance = [abs(np.log10(rate) + 1) for rate in asked]
    assert min(distance[3:]) < min(distance[:3])  # the first three are random


@pytest.mark.parametrize("error", [TrainingDiverged, TrainingTooLarge])
def test_failed_training_is_failed_trial(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    def fit(rate: float) -> float:
        if rate > 0.03:
            raise error("too fast")
        return rate

    asked = _fitting(monkeypatch, fit)
    found = _search(_tuner(tmp_path, _config(trials=12, space=RATES)))
    assert len(asked) == 12
    assert [values["train.learning_rate"] for _, values in found] == sorted(rate for rate in asked if rate <= 0.03)


def test_search_with_only_failures_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fit(rate: float) -> float:
        raise TrainingDiverged("too fast")

    _fitting(monkeypatch, fit)
    with pytest.raises(TrainingDiverged, match="all 4 trials failed"):
        _search(_tuner(tmp_path, _config(space=RATES)))


def test_unexpected_error_ends_search(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fit(rate: float) -> float:
        raise OSError("disk full")

    asked = _fitting(monkeypatch, fit)
    with pytest.raises(OSError, match="disk full"):
        _search(_tuner(tmp_path, _config(space=RATES)))
    assert len(asked) == 1


def _killed_at(monkeypatch: pytest.MonkeyPatch, folder: Path, trial: int, config: dict[str, Any]) -> list[float]:
    """Runs a search that is killed in its `trial`-th training. Returns the requested rates."""

    def fit(rate: float) -> float:
        if len(asked) == trial:
            raise KeyboardInterrupt
        return rate

    asked = _fitting(monkeypatch, fit)
    with pytest.raises(KeyboardInterrupt):
        _search(_tuner(folder, config))
    return asked


def test_killed_search_resumes_its_trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = _config(trials=6, space=RATES)
    whole = _fitting(monkeypatch, lambda rate: rate)
    _search(_tuner(tmp_path / "whole", config))
    before = _killed_at(monkeypatch, tmp_path / "killed", 3, config)
    after = _fitting(monkeypatch, lambda rate: rate)
    found = _search(_tuner(tmp_path / "killed", config))
    assert before[:2] + after == whole
    assert [score for score, _ in found] == sorted(whole)
    assert not (tmp_path / "killed" / "unfinished").exists()


@pytest.mark.parametrize("name", ["oracle.json", "tuner0.json", "trial_0/trial.json"])
def test_search_killed_during_write_restarts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    config = _config(trials=6, space=RATES)
    _killed_at(monkeypatch, tmp_path, 4, config)
    (written,) = (tmp_path / "unfinished").rglob(name)
    written.write_bytes(written.read_bytes()[: written.stat().st_size // 2])
    after = _fitting(monkeypatch, lambda rate: rate)
    assert [score for score, _ in _search(_tuner(tmp_path, config))] == sorted(after)
    assert len(after) == 6


def test_ranges_and_choices_keep_their_types(tmp_path: Path) -> None:
    space = tuning.search_space(
        {
            "model.dimension": {"min": 4, "max": 64, "scale": "log"},
            "model.regularization": {"min": 0, "max": 0.5, "scale": "linear"},
            "model.bias": {"choices": [True, False]},
            "train.learning_rate": {"choices": [1, 0.5]},
            "train.optimizer": {"choices": ["adam", "sgd"]},
            "train.epochs": {"choices": [3]},
        }
    )
    oracle = keras_tuner.oracles.RandomSearchOracle(
        objective=keras_tuner.Objective("m", "min"), max_trials=50, hyperparameters=space, seed=1
    )
    oracle._set_project_dir(str(tmp_path), "search")
    oracle.verbose = 0
    drawn = [oracle.create_trial(str(n)).hyperparameters.values for n in range(30)]
    drawn = json.loads(json.dumps(drawn))  # as the Trainer parses them
    assert {type(values["model.dimension"]) for values in drawn} == {int}
    assert all(4 <= values["model.dimension"] <= 64 for values in drawn)
    assert all(0 <= values["model.regularization"] <= 0.5 for values in drawn)
    for key, choices in (("model.bias", {True, False}), ("train.learning_rate", {1.0, 0.5}), ("train.epochs", {3})):
        assert {values[key] for values in drawn} == choices
    for values in drawn:
        _, model, train = training_settings(with_values(_config(), values))
        assert model.bias is values["model.bias"] and train.optimizer == values["train.optimizer"]


def test_values_replace_only_their_keys() -> None:
    config = _config()
    other = with_values(config, {"model.dimension": 7, "train.learning_rate": 3.0})
    assert other == {
        **config,
        "model": {**config["model"], "dimension": 7},
        "train": {**config["train"], "learning_rate": 3.0},
    }
    assert config == _config()
    assert with_values(config, {}) == config
