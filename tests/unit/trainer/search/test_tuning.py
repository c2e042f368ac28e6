"""`tune`: tries the current settings first, recommends only what is better beyond noise, and resumes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from errors import TrainingDiverged
from trainer.data.pairs import Pairs
from trainer.model.table_sizes import TableSizes
from trainer.search.measures import Figure
from trainer.search.records import Trial
from trainer.search.space import Family, TuneSettings
from trainer.search.trials import Trials
from trainer.search.tuning import Tuning, tune
from trainer.settings import SEARCHABLE, ModelSettings, TrainSettings, with_values

SIZES = TableSizes(31, 21)
RATES = Family(parameters={"train.learning_rate": {"min": 0.01, "max": 1.0, "scale": "log"}})
ENTITIES = 400


def _sections(**train: Any) -> dict[str, Any]:
    model = ModelSettings(dimension=2, regularization=0.0, initial_scale=0.3)
    settings = {"epochs": 6, "batch_size": 64, "optimizer": "adam", "learning_rate": 0.05} | train
    return {
        "model": model.model_dump(mode="json"),
        "train": TrainSettings.model_validate(settings).model_dump(mode="json"),
    }


def _pairs() -> Pairs:
    """Returns all pairs of a product of rank 2, which a tiny learning rate cannot learn."""
    random = np.random.default_rng(3)
    left, right = (grid.ravel().astype(np.int32) for grid in np.meshgrid(range(30), range(20), indexing="ij"))
    return Pairs(left, right, (random.normal(size=(30, 2)) @ random.normal(size=(2, 20))).ravel().astype(np.float32))


def _tuned(folder: Path | None = None, sections: dict[str, Any] | None = None, **tuned: Any) -> Tuning:
    settings = TuneSettings.model_validate(
        {"trials": 6, "search": "random", "seed": 1, "families": [RATES.model_dump()]} | tuned
    )
    lines: list[str] = []
    unfinished = None if folder is None else str(folder)
    found = tune(_pairs(), SIZES, sections or _sections(), "rmse", settings, unfinished, lines.append)
    assert len(lines) == len(found.trials) and all(line.startswith("trial ") for line in lines)
    return found


def _measured(
    monkeypatch: pytest.MonkeyPatch, error: Callable[[float], float], noise: float = 0.01
) -> list[dict[str, Any]]:
    """Replaces training: the error of each left entity is `error(learning rate)` with noise. Returns the settings."""
    asked: list[dict[str, Any]] = []

    def made(self: Trials, settings: Mapping[str, Any], *_: Any) -> list[tuple[Trial, Figure | None]]:
        asked.append(dict(settings))
        rate = with_values(self.sections, settings)["train"]["learning_rate"]
        values = error(rate) + noise * np.random.default_rng(len(asked)).normal(size=ENTITIES)
        mean = float(values.mean())
        return [(Trial(settings, mean, 5, 0.1, 6), Figure(mean, (values - mean) / ENTITIES))]

    monkeypatch.setattr(Trials, "_made", made)
    return asked


def test_better_setting_is_found_by_training() -> None:
    found = _tuned(sections=_sections(learning_rate=1e-6), trials=2, families=[
        {"parameters": {"train.learning_rate": {"choices": [1e-6, 0.05]}}}
    ])  # fmt: skip
    # The file has one of the choices, so only the other one is new.
    assert [trial.settings for trial in found.trials] == [{}, {"train.learning_rate": 0.05}]
    assert (found.current, found.chosen) == (0, 1)
    assert found.values == {"train.learning_rate": 0.05}
    difference = found.differences[1]
    assert difference is not None and difference.better and difference.high < 0
    assert found.trials[1].value is not None and found.trials[0].value is not None
    assert found.trials[1].value < 0.8 * found.trials[0].value
    assert difference.value == pytest.approx(found.trials[1].value - found.trials[0].value)


def test_objectives_are_compared_on_the_same_rows() -> None:
    """Least squares and gradient descent have the same measure. The planted rank is easy for least squares."""
    squares = {"train.optimizer": "als", "train.als.implicit": None}
    found = _tuned(sections=_sections(learning_rate=1e-4), families=[{"settings": squares}], trials=1)
    assert found.chosen == 1 and found.trials[1].value is not None and found.trials[1].value < 0.2
    assert found.values["train.optimizer"] == "als" and found.values["train.early_stopping"] is None


def test_rankings_compare_gradient_descent_with_least_squares() -> None:
    left, right = np.divmod(np.arange(600), 20)
    same = left % 4 == right % 4
    pairs = Pairs(left[same].astype(np.int32), right[same].astype(np.int32), np.ones(same.sum(), np.float32))
    families = (
        Family(settings={"model.objective": "ials", "train.optimizer": "als", "model.dimension": 8}),
        Family(settings={"model.objective": "softmax", "train.learning_rate": 0.3, "model.dimension": 8}),
    )
    sections = with_values(_sections(optimizer="adagrad"), {"model.objective": "softmax", "train.learning_rate": 1e-6})
    settings = TuneSettings(trials=2, search="random", seed=1, families=families)
    found = tune(pairs, SIZES, sections, "ndcg@5", settings, None, lambda line: None)
    values = [trial.value or 0 for trial in found.trials]
    assert found.rising and len(values) == 3 and min(values[1:]) > values[0]
    assert found.chosen > 0


def test_current_settings_are_the_first_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = _measured(monkeypatch, lambda rate: 1 + abs(np.log10(rate) + 1))
    found = _tuned(trials=8)
    assert asked[0] == {} and len(asked) == 9 and len({repr(one) for one in asked}) == 9
    assert all(0.01 <= one["train.learning_rate"] <= 1 for one in asked[1:])
    assert found.chosen > 0 and found.values == found.trials[found.chosen].settings


def test_noise_is_not_recommended(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trials that differ by chance only: the best of twelve is rarely called better. 5 % of searches may err."""
    _measured(monkeypatch, lambda rate: 1.0, noise=1.0)
    wrong = 0
    for seed in range(1, 31):
        found = _tuned(trials=12, seed=seed)
        best = min(range(13), key=lambda n: found.trials[n].value or 9)
        wrong += found.chosen != 0
        assert best != 0 or found.chosen == 0
        assert found.chosen != 0 or found.values == {}
    assert wrong <= 5


def test_small_true_difference_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    _measured(monkeypatch, lambda rate: 1.0 if rate == 0.05 else 0.98, noise=0.05)
    assert _tuned(trials=6).chosen != 0


def test_settings_of_a_search_are_the_current_ones() -> None:
    """A file that leaves settings open is compared with what its run would choose."""
    search = {"settings": SEARCHABLE[True], "budget": 3}
    found = _tuned(sections=_sections(optimizer="als", search=search), trials=1, families=[])
    assert len(found.trials) >= 3 and found.trials[found.current].settings["train.optimizer"] == "als"
    assert found.values["train.epochs"] == found.trials[found.chosen].epochs


def test_seed_determines_trials(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = _measured(monkeypatch, lambda rate: rate)
    for seed in (1, 1, 2):
        _tuned(seed=seed)
    assert asked[:7] == asked[7:14] != asked[14:]


def test_bayesian_search_approaches_optimum(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = _measured(monkeypatch, lambda rate: 1 + abs(np.log10(rate) + 1), noise=0)
    _tuned(trials=9, search="bayesian")
    distance = [abs(np.log10(one["train.learning_rate"]) + 1) for one in asked[1:]]
    assert min(distance[3:]) < min(0.1, *distance[:3])


def test_failed_trial_does_not_end_the_search(monkeypatch: pytest.MonkeyPatch) -> None:
    def fit(self: Trials, settings: Mapping[str, Any], model: Any, train: TrainSettings) -> Any:
        if train.learning_rate > 0.03:
            raise TrainingDiverged("too fast")
        return Trial(settings, train.learning_rate, 1, 0.1, 1), Figure(train.learning_rate, np.zeros(3))

    monkeypatch.setattr(Trials, "_descended", fit)
    found = _tuned(trials=12)
    failed = [trial for trial in found.trials if trial.value is None]
    assert failed and all(trial.fault == "too fast" for trial in failed) and len(found.trials) == 13
    # The current settings diverge, so the best trial is recommended, and there is no difference to report.
    assert found.trials[0].value is None and found.chosen != 0 and found.differences[found.chosen] is None
    with pytest.raises(TrainingDiverged, match="all 2 trials failed"):
        _tuned(families=[{"settings": {"train.learning_rate": 0.5}}])


def test_unexpected_error_ends_search(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(Trials, "_descended", fail)
    with pytest.raises(OSError, match="disk full"):
        _tuned()


def test_killed_search_resumes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = _measured(monkeypatch, lambda rate: rate)
    whole = _tuned()
    made, first = Trials._made, len(asked)

    def killed(self: Trials, *given: Any) -> Any:
        if len(asked) == first + 3:
            raise KeyboardInterrupt
        return made(self, *given)

    monkeypatch.setattr(Trials, "_made", killed)
    with pytest.raises(KeyboardInterrupt):
        _tuned(tmp_path)
    monkeypatch.setattr(Trials, "_made", made)
    resumed = _tuned(tmp_path)
    assert asked[first:] == asked[:first]  # nothing is trained twice
    assert [trial.settings for trial in resumed.trials] == [trial.settings for trial in whole.trials]


def test_damaged_record_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = _measured(monkeypatch, lambda rate: rate)
    _tuned(tmp_path)
    damaged = sorted(tmp_path.iterdir())[:3]
    for file, content in zip(damaged, (b"", b"damaged", damaged[2].read_bytes()[:100]), strict=True):
        file.write_bytes(content)
    _tuned(tmp_path)
    assert len(asked) == 7 + 3
