"""Section `tune`: settings, ranges, and the refusal of others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from errors import ConfigError
from pipeline.config import PipelineConfig, load_config
from pipeline.config.sections.tune import TUNABLE
from trainer.search.space import TuneSettings
from trainer.settings import with_values


def _tree(tune: Any, **sections: Any) -> dict[str, Any]:
    data: dict[str, Any] = {"path": "/d.csv"}
    if sections.get("model", {}).get("objective") in ("softmax", "pairwise", "ials", "cosine"):
        data["columns"] = {"left": "who", "right": "what"}
    return {"name": "films", "data": data, "tune": tune, **sections}


def _tuned(tune: Any, **sections: Any) -> TuneSettings:
    config = PipelineConfig.model_validate(_tree(tune, **sections))
    assert config.tune
    return config.tuned(config.tune)


def _space(tune: Any, **sections: Any) -> dict[str, dict[str, Any]]:
    """Returns the parameters of the only family."""
    (family,) = _tuned(tune, **sections).families
    assert not family.settings
    return family.parameters


def _refusal(folder: Path, tune: Any, **sections: Any) -> str:
    file = folder / "pipeline.yaml"
    file.write_text(yaml.safe_dump(_tree(tune, **sections)))
    with pytest.raises(ConfigError) as refused:
        load_config(file)
    return str(refused.value).removeprefix(f"{file}: ")


@pytest.mark.parametrize(
    ("key", "parameter", "said"),
    [
        ("model.dimension", [8, 0], "must be greater than 0 (got 0)"),
        ("model.dimension", [8, 8.0], "must be a valid integer (got 8.0)"),
        ("model.dimension", {"min": 8, "max": 64.5}, "must be a valid integer (got 64.5)"),
        ("model.regularization", {"min": -1, "max": 1, "scale": "linear"}, "must be greater than or equal to 0 (got "),
        ("train.learning_rate", ["fast"], "must be a number (got 'fast')"),
        ("train.optimizer", ["adam", "adamw"], "must be 'adagrad', 'adam', 'sgd' or 'als' (got 'adamw')"),
        ("train.optimizer", {"min": 1, "max": 2}, "takes a list of choices, not a range"),
        ("model.bias", {"min": 0, "max": 1, "scale": "linear"}, "takes a list of choices, not a range"),
        ("train.epochs", [3, 3], "duplicate choice"),
        ("train.seed", [1, 2], "cannot be tuned. Choose from model.objective, "),
        ("model.objective", ["regression", "softmax"], "softmax cannot be tried with the other settings of the file"),
        ("encode.min_count", [1, 2], "cannot be tuned"),
        ("learning_rate", [1, 2], "cannot be tuned"),
        ("model.temperature", [0.5], "has no effect with model.objective regression: its scores are not logits"),
    ],
)  # fmt: skip
def test_invalid_choice_is_refused(tmp_path: Path, key: str, parameter: Any, said: str) -> None:
    message = _refusal(tmp_path, {"parameters": {key: parameter}})
    assert message.startswith(f"tune.parameters.{key}: {said}"), message


@pytest.mark.parametrize(
    ("parameter", "said"),
    [
        ({"min": 1, "max": 1}, "min must be less than max (got 1 and 1)"),
        ({"min": 0, "max": 1}, "min must be greater than 0, or scale linear (got 0)"),
        ({"min": 0.1}, "max: required key is missing"),
        ({"min": 0.1, "max": "1"}, "max: must be a number (got '1')"),
        ({"min": 0.1, "max": 1, "step": 2}, "step: unknown key"),
        ({"min": 0.1, "max": 1, "scale": "square"}, "scale: must be 'log' or 'linear' (got 'square')"),
        (0.1, "must be a list of choices, or {min, max, scale} (got 0.1)"),
        ([], "at least one choice is needed"),
    ],
)
def test_invalid_range_names_key_rule_and_value(tmp_path: Path, parameter: Any, said: str) -> None:
    message = _refusal(tmp_path, {"parameters": {"train.learning_rate": parameter}})
    assert message.startswith("tune.parameters.train.learning_rate"), message
    assert said in message


@pytest.mark.parametrize(
    ("tune", "said"),
    [
        ({"trials": 0}, "tune.trials: must be greater than 0 (got 0)"),
        ({"seed": 0}, "tune.seed: must be greater than 0 (got 0)"),
        ({"search": "grid"}, "tune.search: must be 'bayesian' or 'random' (got 'grid')"),
        ({"trails": 5}, "tune.trails: unknown key"),
        ({"parameters": {}}, "tune.parameters: "),
    ],
)
def test_keys_of_section_are_checked(tmp_path: Path, tune: Any, said: str) -> None:
    assert _refusal(tmp_path, tune).startswith(said)


def test_batch_size_of_softmax_can_be_tuned() -> None:
    """The ranking of the same rows compares trials, whatever their loss."""
    tune = {"parameters": {"train.batch_size": [256, 512]}}
    assert _space(tune) == _space(tune, model={"objective": "softmax"}) == {"train.batch_size": {"choices": [256, 512]}}


@pytest.mark.parametrize("objective", ["regression", "logistic", "softmax", "pairwise", "cosine"])
@pytest.mark.parametrize("optimizer", ["adagrad", "adam", "sgd"])
def test_default_ranges_are_valid_for_all_objectives(objective: str, optimizer: str) -> None:
    sections = {"model": {"objective": objective}, "train": {"optimizer": optimizer}}
    mine = _tuned({}, **sections).families[0]
    assert not mine.settings
    assert set(mine.parameters) == {"model.dimension", "model.regularization", "train.learning_rate"}
    given = {key: value if "min" in value else value["choices"] for key, value in mine.parameters.items()}
    assert _space({"parameters": given}, **sections) == mine.parameters  # they are valid parameters


def _trials_of(tuned: TuneSettings) -> list[dict[str, Any]]:
    """Returns the first settings of each family, and those at both ends of its ranges."""
    found = [{**family.settings, **(family.first or {})} for family in tuned.families]
    for family in tuned.families:
        for end in (0, -1):
            ends = {
                k: [*p["choices"]] if "choices" in p else [p["min"], p["max"]] for k, p in family.parameters.items()
            }
            found.append({**family.settings, **{key: values[end] for key, values in ends.items()}})
    return found


@pytest.mark.parametrize(
    ("columns", "sections", "objectives"),
    [
        ({}, {}, {"softmax", "lightgcn", "cosine", "pairwise", "logistic"}),
        ({}, {"encode": {"shared": True}}, {"softmax", "cosine", "pairwise", "logistic", None}),
        ({"score": "s"}, {}, {"regression"}),
        ({"score": "s"}, {"evaluate": {"bless": [{"metric": "auc", "better_than": "baseline"}]}},
         {"regression", "logistic"}),
    ],
)  # fmt: skip
def test_all_candidates_are_valid_settings(columns: Any, sections: Any, objectives: set[str | None]) -> None:
    """Without parameters, objectives of gradient descent are candidates. Each gives a valid pipeline file."""
    data = {"path": "/d.csv", "columns": {"left": "l", "right": "r"} | columns}
    config = PipelineConfig.model_validate({"name": "films", "data": data, "tune": {}, **sections})
    assert config.tune
    tuned = config.tuned(config.tune)
    assert {family.settings.get("model.objective") for family in tuned.families} == objectives
    assert (tuned.least_squares is None) == ("encode" in sections)
    for values in _trials_of(tuned):
        PipelineConfig.model_validate(with_values(config.to_json(), {**values, "train.search.settings": []}))


def test_objectives_and_optimizers_are_choices() -> None:
    """Each objective has a family with the parameters that it uses."""
    parameters = {
        "model.objective": ["ials", "softmax"], "model.unobserved_weight": [0.01, 0.1],
        "train.learning_rate": [0.1, 0.2], "model.dimension": [8, 16],
    }  # fmt: skip
    families = _tuned({"parameters": parameters}, model={"objective": "softmax"}).families
    assert [(family.settings, set(family.parameters)) for family in families] == [
        ({"model.objective": "ials", "train.optimizer": "als"}, {"model.unobserved_weight", "model.dimension"}),
        ({"model.objective": "softmax"}, {"train.learning_rate", "model.dimension"}),
    ]
    solvers = _tuned({"parameters": {"train.optimizer": ["adam", "als"], "train.als.ridge": [1.0, 2.0]}}).families
    assert [(family.settings["train.optimizer"], set(family.parameters)) for family in solvers] == [
        ("adam", set()), ("als", {"train.als.ridge"})
    ]  # fmt: skip


def test_warm_start_keeps_the_form_of_the_model() -> None:
    assert set(_space({}, train={"warm_start": True})) == {"model.regularization", "train.learning_rate"}


@pytest.mark.parametrize(
    ("objective", "searched"),
    [
        ("regression", {"model.dimension", "train.als.ridge"}),
        ("ials", {"model.dimension", "model.regularization"}),
    ],
)
def test_als_search_has_only_used_settings(tmp_path: Path, objective: str, searched: set[str]) -> None:
    sections = {"model": {"objective": objective}, "train": {"optimizer": "als", "search": {"budget": 0}}}
    assert set(_tuned({}, **sections).families[0].parameters) == searched
    for key, value in (("train.learning_rate", 0.1), ("train.batch_size", 64)):
        said = _refusal(tmp_path, {"parameters": {key: [value]}}, **sections)
        assert said.startswith(f"tune.parameters.{key}: ") and "with train.optimizer als" in said


@pytest.mark.parametrize(
    ("key", "values", "solver", "objective", "said"),
    [
        ("train.als.copies", [2, 0], "als", "regression", "must be greater than 0 (got 0)"),
        ("train.als.ridge", {"min": -1, "max": 1, "scale": "linear"}, "als", "regression", "must be greater than 0 ("),
        ("train.als.ridge", [1.0], "als", "ials", "has no effect with model.objective ials"),
        ("train.als.frequency_exponent", [1.0], "als", "regression", "has no effect with model.objective regression"),
        ("train.als.ridge", [1.0], "adagrad", "regression", "has no effect with train.optimizer adagrad"),
        ("train.als.seed", [1], "als", "regression", "cannot be tuned"),
    ],
)  # fmt: skip
def test_solver_settings_are_validated(
    tmp_path: Path, key: str, values: Any, solver: str, objective: str, said: str
) -> None:
    sections = {"model": {"objective": objective}, "train": {"optimizer": solver}}
    assert f"tune.parameters.{key}: {said}" in _refusal(tmp_path, {"parameters": {key: values}}, **sections)


def test_solver_settings_accept_ranges_and_choices() -> None:
    given = {"train.als.ridge": {"min": 1, "max": 9.5, "scale": "log"}, "train.als.copies": [1, 4]}
    space = _space({"parameters": given}, train={"optimizer": "als"})
    assert space == given | {"train.als.copies": {"choices": [1, 4]}}


def test_values_replace_only_nested_settings() -> None:
    config = {"model": {"dimension": 8}, "train": {"epochs": 3, "als": {"ridge": None, "copies": 1}}, "tune": {}}
    changed = with_values(config, {"train.als.ridge": 2.5, "model.dimension": 16})
    als = {"ridge": 2.5, "copies": 1}
    assert changed == {"model": {"dimension": 16}, "train": {"epochs": 3, "als": als}, "tune": {}}
    assert config["train"]["als"] == {"ridge": None, "copies": 1}


VALUES = st.floats(1e-6, 1e6) | st.integers(1, 10**6)


@given(st.tuples(VALUES, VALUES).filter(lambda ends: ends[0] < ends[1]), st.sampled_from(["log", "linear"]))
def test_range_keeps_its_values(ends: tuple[float, float], scale: str) -> None:
    wanted = {"min": ends[0], "max": ends[1], "scale": scale}
    read = _space({"parameters": {"train.learning_rate": wanted}})["train.learning_rate"]
    assert read == wanted and [type(read[end]) for end in ("min", "max")] == list(map(type, ends))


def test_section_round_trips() -> None:
    parameters = {"model.dimension": [8, 16], "train.learning_rate": {"min": 0.01, "max": 1, "scale": "log"}}
    config = PipelineConfig.model_validate(_tree({"trials": 3, "parameters": parameters}))
    assert PipelineConfig.model_validate(config.to_json()) == config
    assert config.to_json()["tune"]["parameters"] == parameters


def test_tunable_settings_are_documented() -> None:
    text = Path(__file__).parents[5].joinpath("docs", "pipeline-file.md").read_text(encoding="utf-8")
    section = text.partition("## Tuning")[2]
    assert [key for key in TUNABLE if f"`{key}`" not in section] == []
