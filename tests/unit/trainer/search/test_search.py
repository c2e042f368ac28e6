"""The search finds planted settings, keeps to its budget and to fixed keys, and is used again for like data."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from errors import TrainingTooLarge
from trainer.data.pairs import Pairs
from trainer.model.table_sizes import TableSizes
from trainer.search import choice as choice_module
from trainer.search.choice import Choice, choose
from trainer.search.trials import Trials
from trainer.settings import SEARCHABLE, ModelSettings, SearchSettings, TrainSettings

SIZES = TableSizes(301, 201)
POSITIVES = SearchSettings(settings=SEARCHABLE[False])
SCORES = SearchSettings(settings=SEARCHABLE[True])


def _positives(seed: int = 0, rows: int = 300) -> Pairs:
    """Returns pairs of ten groups: nine of ten pairs are inside a group."""
    random = np.random.default_rng(seed)
    group = random.integers(0, 10, SIZES.right - 1)
    left = np.repeat(np.arange(rows), 12)
    own = np.array([random.choice(np.flatnonzero(group == entity % 10)) for entity in left])
    right = np.where(random.random(len(left)) < 0.9, own, random.integers(0, SIZES.right - 1, len(left)))
    keys = np.unique(left.astype(np.int64) * SIZES.right + right)
    return _pairs(keys // SIZES.right, keys % SIZES.right)


def _pairs(left: np.ndarray, right: np.ndarray, label: np.ndarray | None = None) -> Pairs:
    label = np.ones(len(left)) if label is None else label
    return Pairs(left.astype(np.int32), right.astype(np.int32), label.astype(np.float32))


def _scores(rank: int, noise: float) -> Pairs:
    random = np.random.default_rng(5)
    vectors = [random.normal(size=(size, rank)) / rank**0.25 for size in (300, 200)]
    left, right = random.integers(0, 300, 12_000), random.integers(0, 200, 12_000)
    label = np.einsum("nd,nd->n", vectors[0][left], vectors[1][right]) + noise * random.normal(size=len(left))
    return _pairs(left, right, label)


def _sections(**model: Any) -> dict[str, Any]:
    objective = {"objective": "ials"} | model
    return {
        "model": ModelSettings.model_validate(objective).model_dump(mode="json"),
        "train": TrainSettings(optimizer="als").model_dump(mode="json"),
    }


def _of_scores(**model: Any) -> dict[str, Any]:
    return _sections(**{"objective": "regression", **model})


def test_found_settings_are_better_than_the_defaults(tmp_path: Path) -> None:
    """The default weight of unobserved pairs is far too high for sparse pairs of 50 groups."""
    random, sizes = np.random.default_rng(2), TableSizes(1501, 1001)
    left = np.repeat(np.arange(1_500), 8)
    own = random.integers(0, 20, len(left)) * 50 + left % 50
    right = np.where(random.random(len(left)) < 0.8, own, random.integers(0, 1_000, len(left)))
    keys = np.unique(left * 1_001 + right)
    pairs = _pairs(keys // 1_001, keys % 1_001)
    found = choose(pairs, sizes, _sections(), "ndcg@10", POSITIVES, str(tmp_path))
    kept, held = pairs.hold_out(0.1, 1)
    default = Trials(kept, held, sizes, _sections(), "ndcg@10", 1).run({"model.objective": "ials"}, 3)
    assert default is not None and default.value is not None and found.best.value is not None
    assert found.best.value > 1.02 * default.value


def test_choice_is_the_best_trial_or_a_smaller_one_that_is_about_as_good(tmp_path: Path) -> None:
    found = choose(_positives(), SIZES, _sections(), "ndcg@10", POSITIVES, str(tmp_path))
    best = max(trial.value or 0 for trial in found.trials)
    assert found.best.value is not None and found.best.value >= 0.99 * best
    good = [trial for trial in found.trials if (trial.value or 0) >= 0.99 * best]
    dimension = max(min(trial.settings["model.dimension"] for trial in good), 64)
    assert max(found.best.settings["model.dimension"], 64) == dimension
    same = [trial.value for trial in good if max(trial.settings["model.dimension"], 64) == dimension]
    assert found.best.value == max(same)


def test_noise_is_regularized(tmp_path: Path) -> None:
    """Pure noise has no use for a large dimension, and its best error is that of a constant."""
    random = np.random.default_rng(1)
    noise = _pairs(random.integers(0, 300, 6_000), random.integers(0, 200, 6_000), random.normal(size=6_000))
    found = choose(noise, SIZES, _of_scores(), "rmse", SCORES, str(tmp_path))
    assert found.best.value == pytest.approx(1, abs=0.05)


def test_scores_of_a_planted_rank_are_found(tmp_path: Path) -> None:
    found = choose(_scores(rank=4, noise=0.1), SIZES, _of_scores(), "rmse", SCORES, str(tmp_path))
    assert found.best.value == pytest.approx(0.1, rel=0.25)
    assert found.best.settings["train.optimizer"] == "als"


def _two_scores(share: float, values: tuple[float, float] = (-0.3, 0.7)) -> tuple[Pairs, np.ndarray]:
    """Returns pairs of planted log odds with two labels, and the probability of the higher one."""
    random = np.random.default_rng(6)
    vectors = [random.normal(size=(size, 2)) for size in (300, 200)]
    left, right = random.integers(0, 300, 12_000), random.integers(0, 200, 12_000)
    odds = 1.5 * np.einsum("nd,nd->n", vectors[0][left], vectors[1][right]) + np.log(share / (1 - share))
    probability = 1 / (1 + np.exp(-odds))
    return _pairs(left, right, np.where(random.random(12_000) < probability, values[1], values[0])), probability


@pytest.mark.parametrize("share", [0.5, 0.05])
def test_two_scores_are_learned_by_their_log_loss(tmp_path: Path, share: float) -> None:
    pairs, probability = _two_scores(share)
    found = choose(pairs, SIZES, _of_scores(), "rmse", SCORES, str(tmp_path))
    positive = pairs.label > 0
    mean = positive.mean()
    true = -np.mean(np.log(np.where(positive, probability, 1 - probability)))
    constant = -mean * np.log(mean) - (1 - mean) * np.log(1 - mean)
    assert found.metric == "log_loss" and found.values["model.objective"] == "logistic"
    assert found.best.value is not None and found.best.value < true + 0.4 * (constant - true)
    tried = {trial.settings["model.objective"]: trial.value for trial in found.trials}
    assert tried["regression"] > found.best.value


def test_two_scores_of_a_fixed_regression_are_measured_by_rmse(tmp_path: Path) -> None:
    keys = tuple(key for key in SEARCHABLE[True] if key != "model.objective")
    search = SearchSettings(settings=keys, budget=1)
    found = choose(_two_scores(0.5)[0], SIZES, _of_scores(), "rmse", search, str(tmp_path))
    assert found.metric == "rmse" and "model.objective" not in found.best.settings


def test_three_scores_are_measured_by_rmse(tmp_path: Path) -> None:
    pairs, _ = _two_scores(0.5)
    label = np.where(np.arange(len(pairs)) == 5, 0.1, pairs.label)
    search = SCORES.replace(budget=1)
    found = choose(_pairs(pairs.left, pairs.right, label), SIZES, _of_scores(), "rmse", search, str(tmp_path))
    assert found.metric == "rmse"


@pytest.mark.parametrize("budget", [1, 3])
def test_budget_bounds_the_trials(tmp_path: Path, budget: int, monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    solver_of = choice_module.Trials.run.__globals__["solver_of"]
    monkeypatch.setitem(
        choice_module.Trials.run.__globals__, "solver_of", lambda *given: made.append(1) or solver_of(*given)
    )
    search = POSITIVES.replace(budget=budget)
    found = choose(_positives(), SIZES, _sections(), "ndcg@10", search, str(tmp_path))
    assert len(made) == budget
    assert found.best.value is not None


@pytest.mark.parametrize(
    ("key", "value"),
    [("dimension", 5), ("objective", "spectral"), ("objective", "ials"), ("popularity_exponent", 0.25)],
)
def test_fixed_key_keeps_its_value(tmp_path: Path, key: str, value: Any) -> None:
    keys = tuple(name for name in SEARCHABLE[False] if name != f"model.{key}")
    search = SearchSettings(settings=keys, budget=6)
    found = choose(_positives(), SIZES, _sections(**{key: value}), "ndcg@10", search, str(tmp_path))
    for trial in found.trials:
        assert trial.settings.get(f"model.{key}", value) == value
    assert found.values.get(f"model.{key}", value) == value


def test_fixed_number_of_epochs_is_that_of_every_trial(tmp_path: Path) -> None:
    sections = _sections()
    sections["train"]["epochs"] = 2
    keys = tuple(name for name in SEARCHABLE[False] if name != "train.epochs")
    found = choose(_positives(), SIZES, sections, "ndcg@10", SearchSettings(settings=keys, budget=5), str(tmp_path))
    assert {(trial.epochs, trial.sweeps) for trial in found.trials} == {(2, 2)}
    assert found.values["train.epochs"] == 2


def test_same_seed_finds_the_same(tmp_path: Path) -> None:
    both = [
        choose(_positives(), SIZES, _sections(), "ndcg@10", POSITIVES.replace(budget=8), str(tmp_path / name))
        for name in "ab"
    ]
    assert both[0].values == both[1].values
    assert [trial.value for trial in both[0].trials] == [trial.value for trial in both[1].trials]


def test_choice_is_used_again_for_data_of_about_the_same_size(tmp_path: Path) -> None:
    search = POSITIVES.replace(budget=2)
    first = choose(_positives(), SIZES, _sections(), "ndcg@10", search, str(tmp_path))
    again = choose(_positives(seed=9), SIZES, _sections(), "ndcg@10", search, str(tmp_path))
    assert (first.reused, again.reused) == (False, True)
    assert again.values == first.values and again.sizes == first.sizes


@pytest.mark.parametrize("why", ["other data", "renew", "other settings", "other metric"])
def test_search_is_repeated(tmp_path: Path, why: str) -> None:
    search = POSITIVES.replace(budget=2)
    choose(_positives(), SIZES, _sections(), "ndcg@10", search, str(tmp_path))
    pairs = _positives(rows=200) if why == "other data" else _positives()
    sections = _sections(unobserved_weight=0.2) if why == "other settings" else _sections()
    metric = "recall@20" if why == "other metric" else "ndcg@10"
    again = choose(pairs, SIZES, sections, metric, search.replace(renew=why == "renew"), str(tmp_path))
    assert not again.reused


def test_choice_survives_json(tmp_path: Path) -> None:
    found = choose(_positives(), SIZES, _sections(), "ndcg@10", POSITIVES.replace(budget=2), str(tmp_path))
    assert Choice.of_json(json.loads(json.dumps(found.to_json()))) == found


def test_settings_that_do_not_fit_in_memory_are_no_choice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainer.training.memory.available", lambda: 10_000_000)
    found = choose(_positives(), SIZES, _sections(), "ndcg@10", POSITIVES, str(tmp_path))
    refused = [trial for trial in found.trials if trial.fault]
    assert refused and all("model.dimension" in str(trial.fault) for trial in refused)
    tried = len(found.trials) - len(refused)
    assert f"{tried} settings tried, {len(refused)} left out because they do not fit in memory: " in found.describe()
    assert found.best.fault is None


def test_no_settings_that_fit_in_memory_are_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainer.training.memory.available", lambda: 1000)
    with pytest.raises(TrainingTooLarge, match="Lower model"):
        choose(_positives(), SIZES, _sections(), "ndcg@10", POSITIVES, str(tmp_path))


def test_settings_must_fit_with_all_rows_not_only_those_of_the_search(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = 10_000_000
    monkeypatch.setattr("trainer.training.memory.available", lambda: free)
    pairs = _positives()
    sections, search = _sections(), POSITIVES.replace(budget=1)
    assert choose(pairs, SIZES, sections, "ndcg@10", search, str(tmp_path / "few")).best.fault is None
    many = Pairs(*(np.tile(column, 60) for column in (pairs.left, pairs.right, pairs.label)))
    monkeypatch.setattr(choice_module, "_ROWS", 3000)
    with pytest.raises(TrainingTooLarge, match=f"{len(many):,} pairs"):
        choose(many, SIZES, sections, "ndcg@10", search, str(tmp_path / "many"))


def test_large_data_are_searched_on_some_left_entities(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choice_module, "_ROWS", 500)
    pairs = _positives()
    rows = choice_module._some_left(pairs, seed=1)
    assert rows is not None
    some = pairs.take(rows)
    assert 450 <= len(some) <= 550
    whole = np.bincount(pairs.left)
    part = np.bincount(some.left, minlength=len(whole))
    assert set(np.unique(part - whole)[:-1]) <= set(-whole) and ((part == 0) | (part == whole)).all()


def test_unobserved_weight_follows_the_density(tmp_path: Path) -> None:
    """The first guess lets all unobserved pairs count four times as much as the observed ones."""
    pairs = _positives()
    found = choose(pairs, SIZES, _sections(), "ndcg@10", POSITIVES.replace(budget=1), str(tmp_path))
    kept, _ = pairs.hold_out(0.1, 1)
    density = len(kept) / (len(np.unique(kept.left)) * len(np.unique(kept.right)))
    assert found.trials[0].settings["model.unobserved_weight"] == pytest.approx(4 * density, rel=0.01)


@pytest.mark.parametrize("unit", [0.01, 1000.0])
def test_play_counts_in_another_unit_find_the_same_model(tmp_path: Path, unit: float) -> None:
    """Weights may be seconds or minutes, and a few of them may be huge."""
    pairs = _positives()
    weight = np.random.default_rng(1).lognormal(0, 1, len(pairs)).astype(np.float32)
    search = POSITIVES.replace(budget=8, settings=("model.regularization", "model.unobserved_weight"))
    found = [
        choose(
            Pairs(pairs.left, pairs.right, pairs.label, weight * np.float32(scale)),
            SIZES, _sections(dimension=8), "ndcg@10", search, str(tmp_path / str(scale)),
        )
        for scale in (1.0, unit)
    ]  # fmt: skip
    weights = [one.best.settings["model.unobserved_weight"] for one in found]
    assert weights[1] == pytest.approx(unit * weights[0], rel=0.01)
    assert found[1].best.value == pytest.approx(found[0].best.value, rel=0.02)


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: "", lambda text: text[:99], lambda text: "[]", lambda text: "{}", lambda text: "\0\xff",
        lambda text: text.replace('"chosen": ', '"chosen": 9'), lambda text: text.replace('"sizes"', '"size"'),
        lambda text: text.replace('"rows": ', '"rows": "many", "x": '),
        lambda text: text.replace('"value": ', '"v": '),
    ],
)  # fmt: skip
def test_damaged_choice_is_made_again(tmp_path: Path, damage: Any) -> None:
    search = POSITIVES.replace(budget=1)
    pairs = _positives(rows=60)
    first = choose(pairs, SIZES, _sections(), "ndcg@10", search, str(tmp_path))
    (file,) = tmp_path.iterdir()
    file.write_text(damage(file.read_text()), encoding="latin-1")
    again = choose(pairs, SIZES, _sections(), "ndcg@10", search, str(tmp_path))
    assert not again.reused and again.values == first.values
    assert again.finding and str(file) in again.describe()
    third = choose(pairs, SIZES, _sections(), "ndcg@10", search, str(tmp_path))
    assert third.reused and third.finding is None


def test_sum_of_finished_trials_needs_no_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its measure is that of the solver of the sum after as many sweeps."""
    pairs = _positives()
    found = choose(pairs, SIZES, _sections(), "ndcg@10", POSITIVES, str(tmp_path))
    sums = [trial for trial in found.trials if trial.settings["model.objective"] == "blend"]
    assert sums
    kept, held = pairs.hold_out(0.1, 1)
    for trial in sums:
        alone = Trials(kept, held, SIZES, _sections(), "ndcg@10", 1, sweeps=trial.epochs).run(trial.settings)
        assert alone is not None and alone.value == pytest.approx(trial.value, abs=0.01)
        assert alone.zero_point == pytest.approx(trial.zero_point, rel=0.1)


def test_quick_trial_continues(monkeypatch: pytest.MonkeyPatch) -> None:
    """A trial that ranked settings after three sweeps continues with them, and ends like one without a break."""
    kept, held = _positives().hold_out(0.1, 1)
    settings = {"model.objective": "ials", "model.dimension": 8, "model.regularization": 0.1}
    broken = Trials(kept, held, SIZES, _sections(), "ndcg@10", 2)
    quick = broken.run(settings, 3, quick=True)
    assert quick is not None and (quick.epochs, quick.sweeps) == (3, 3)
    whole = Trials(kept, held, SIZES, _sections(), "ndcg@10", 1).run(settings, 8)
    after = broken.run(settings, 8)
    assert after is not None and whole is not None and after.sweeps >= 5
    if whole.epochs >= 3:
        assert (after.value, after.epochs) == (whole.value, whole.epochs)
