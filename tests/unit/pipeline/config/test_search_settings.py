"""Which settings a pipeline file leaves to the search."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.config import PipelineConfig
from trainer.settings import SEARCHABLE


def _open(scored: bool, **sections: Any) -> tuple[str, ...]:
    columns = {"left": "l", "right": "r"} | ({"score": "s"} if scored else {})
    config = PipelineConfig.model_validate(
        {"name": "films", "data": {"path": "/d.csv", "columns": columns}, **sections}
    )
    # A configuration that was written and read again leaves the same settings open.
    assert PipelineConfig.model_validate(config.to_json()).train.search == config.train.search
    return config.train.search.settings


@pytest.mark.parametrize("scored", [False, True])
def test_file_without_model_and_train_leaves_all_open(scored: bool) -> None:
    assert _open(scored) == SEARCHABLE[scored]


@pytest.mark.parametrize("scored", [False, True])
def test_key_of_the_file_is_not_searched(scored: bool) -> None:
    assert "model.dimension" not in _open(scored, model={"dimension": 8})
    assert set(_open(scored, model={"dimension": 8})) == set(SEARCHABLE[scored]) - {"model.dimension"}


def test_objective_of_the_file_leaves_its_settings_open() -> None:
    assert set(_open(False, model={"objective": "spectral"})) == {
        "model.dimension", "model.popularity_exponent", "train.epochs"
    }  # fmt: skip
    assert "model.popularity_exponent" not in _open(False, model={"objective": "ials"})
    assert "model.objective" not in _open(False, model={"regularization": 0.1})


def test_log_odds_by_least_squares_leave_their_settings_open() -> None:
    assert set(_open(True, model={"objective": "logistic"}, train={"optimizer": "als"})) == {
        "model.dimension", "train.als.copies", "train.als.ridge", "train.als.implicit", "train.epochs"
    }  # fmt: skip
    assert not _open(True, model={"objective": "logistic"})  # by gradient descent


def test_log_odds_of_positives_have_no_least_squares() -> None:
    with pytest.raises(ValueError, match="als solves logistic for pairs with scores"):
        _open(False, model={"objective": "logistic"}, train={"optimizer": "als"})


def test_temperature_has_no_effect_on_least_squares() -> None:
    with pytest.raises(ValueError, match=r"model.temperature: has no effect with train.optimizer als"):
        _open(True, model={"objective": "logistic", "temperature": 2.0}, train={"optimizer": "als", "epochs": 3})


def test_parameter_of_a_run_is_not_searched() -> None:
    assert "model.dimension" not in _open(True, kubeflow={"parameters": ["model.dimension"]})
    assert not any(key.startswith("model.") for key in _open(True, kubeflow={"parameters": ["model"]}))


@pytest.mark.parametrize(
    "sections",
    [
        {"train": {"early_stopping": {"patience": 5}}},
        {"train": {"learning_rate": 0.2}},
        {"train": {"optimizer": "adam"}},
        {"train": {"warm_start": True}},
        {"encode": {"shared": True}},
        {"model": {"objective": "logistic"}},
        {"tune": {"parameters": {"model.dimension": [8]}}},
    ],
)
def test_no_search_that_would_ignore_a_setting(sections: dict[str, Any]) -> None:
    assert _open(True, **sections) == ()


@pytest.mark.parametrize(
    ("scored", "settings", "sections", "said"),
    [
        (True, ["model.unobserved_weight"], {}, "model.unobserved_weight is not searched with data.columns.score"),
        (False, ["model.dimension", "train.als.ridge"], {}, "train.als.ridge is not searched without data.columns"),
        (False, ["model.popularity_exponent"], {"model": {"objective": "ials"}}, "no effect with model.objective"),
        (
            False,
            ["model.regularization"],
            {"model": {"objective": "spectral"}},
            "no effect with model.objective",
        ),
        (False, ["model.dimension"], {"model": {"objective": "softmax"}}, "which model.objective softmax rules out"),
        (True, ["model.dimension"], {"train": {"optimizer": "adam"}}, "which train.optimizer adam rules out"),
        (True, ["train.optimizer"], {"encode": {"shared": True}}, "which encode.shared True rules out"),
        (True, ["train.optimizer"], {"train": {"warm_start": True}}, "which train.warm_start True rules out"),
    ],
)
def test_settings_that_cannot_be_searched_are_refused(
    scored: bool, settings: list[str], sections: dict[str, Any], said: str
) -> None:
    train = {**sections.get("train", {}), "search": {"settings": settings}}
    with pytest.raises(ValueError, match=r"train\.search\.settings: ") as refused:
        _open(scored, **{**sections, "train": train})
    assert said in str(refused.value)
    # Without a budget there is no search.
    train["search"] = {"settings": settings, "budget": 0}
    assert _open(scored, **{**sections, "train": train}) == tuple(settings)


@pytest.mark.parametrize("key", ["model.objective", "train.optimizer"])
def test_parameter_that_decides_about_least_squares_rules_out_a_search(key: str) -> None:
    assert _open(key == "train.optimizer", kubeflow={"parameters": [key]}) == ()


@pytest.mark.parametrize(
    ("columns", "sections", "expected"),
    [
        ({}, {}, "random"),
        ({"time": "t"}, {}, "latest_of_left"),
        ({"time": "t"}, {"split": {"by": "time"}}, "latest"),
    ],
)
def test_times_decide_which_rows_choose_settings(columns: dict[str, str], sections: Any, expected: str) -> None:
    data = {"path": "/d.csv", "columns": {"left": "l", "right": "r", **columns}, **sections}
    config = PipelineConfig.model_validate({"name": "films", "data": data, "tune": {}})
    assert config.hold_out == expected
    assert config.tune and config.tuned(config.tune).hold_out == expected
