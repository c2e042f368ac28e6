"""Loads the settings of `kindred tune`, and describes its trials."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from errors import ConfigError, SettingsRefused
from pipeline.commands.trials import check_writable, describe, load_config_to_tune, write
from pipeline.config import load_config


def test_tune_section_is_optional(tmp_path: Path) -> None:
    file = tmp_path / "pipeline.yaml"
    file.write_text("name: films\ndata: {path: d.csv}\n")
    assert load_config(file).tune is None
    loaded = [load_config_to_tune(file, (), None, trials).tune for trials in (None, 7)]
    assert [tune.trials for tune in loaded if tune] == [20, 7]
    file.write_text("name: films\ndata: {path: d.csv}\ntune: {trials: 3, search: random}\n")
    loaded = [load_config_to_tune(file, ("tune.seed=5",), None, trials).tune for trials in (None, 7)]
    assert [(tune.trials, tune.search, tune.seed) for tune in loaded if tune] == [(3, "random", 5), (7, "random", 5)]


def _trial(number: int, score: float | None, settings: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"trial": number, "score": score, "settings": settings, "epochs": 3, "seconds": 1.5, **more}


def _tuning(trials: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    return {"measure": "rmse", "asked": 2, "current": 0, "chosen": 4, "values": {}, "trials": trials, **more}


def test_trials_are_listed_best_first() -> None:
    better = {"model.dimension": 32, "train.learning_rate": 0.1 / 3}
    trials = [
        _trial(4, 0.5, better, difference=-0.25, interval=[-0.3, -0.2], better=True),
        _trial(0, 0.75, {"model.dimension": 8, "train.learning_rate": 1.0}),
        _trial(1, None, {"train.learning_rate": 9.0}, fault="the loss became nan"),
    ]
    text = describe(_tuning(trials, values=better))
    table, _, pasted = text.partition("The best settings, for the pipeline file:\n")
    rows = [line.split("  ") for line in table.splitlines()]
    cells = [[cell.strip() for cell in row if cell.strip()] for row in rows]
    assert cells[:4] == [
        ["trial", "rmse", "difference", "95 % interval", "seconds", "model.dimension", "train.learning_rate"],
        ["4", "0.50000", "-0.25000", "-0.30000 to -0.20000", "1.5", "32", "0.03333"],
        ["0", "0.75000", "current", "1.5", "8", "1"],
        ["1", "-", "1.5", "9"],
    ]
    assert "trial 1 has no result: the loss became nan" in table and "nothing else to try" not in table
    assert yaml.safe_load(pasted) == {"model": {"dimension": 32}, "train": {"learning_rate": 0.1 / 3}}


def test_nothing_is_recommended_without_a_better_trial() -> None:
    text = describe(_tuning([_trial(0, 0.5, {}), _trial(1, 0.6, {"train.als.ridge": 2.0})], chosen=0))
    assert "No settings are better than the current ones beyond noise. Keep them." in text
    assert "for the pipeline file" not in text and "there was nothing else to try" in text


def test_nested_settings_are_nested_in_the_file() -> None:
    values = {"train.als.ridge": 2, "train.early_stopping": None}
    pasted = describe(_tuning([_trial(4, 0.5, {}), _trial(0, 0.6, {})], values=values)).rpartition("file:\n")[2]
    assert yaml.safe_load(pasted) == {"train": {"als": {"ridge": 2}, "early_stopping": None}}


PIPELINE = "name: films\ndata: {path: d.csv}\nmodel:\n  dimension: 8   # small\n"


def _won(**more: Any) -> dict[str, Any]:
    better = _trial(4, 0.5, {"model.dimension": 32}, difference=-0.25, interval=[-0.3, -0.2], better=True)
    return _tuning([better, _trial(0, 0.75, {})], **{"values": {"model.dimension": 32}} | more)


def test_better_settings_are_written_into_the_file(tmp_path: Path) -> None:
    file = tmp_path / "pipeline.yaml"
    file.write_text(PIPELINE)
    file.chmod(0o640)
    assert write(file, _won()) == f"Written to {file}: model.dimension"
    assert file.read_text() == PIPELINE.replace("8", "32")
    assert file.stat().st_mode & 0o777 == 0o640 and os.listdir(tmp_path) == ["pipeline.yaml"]


def test_keys_without_effect_become_comments(tmp_path: Path) -> None:
    file = tmp_path / "pipeline.yaml"
    head = "name: films\ndata: {path: d.csv, columns: {left: l, right: r, score: s}}\n"
    file.write_text(f"{head}train:\n  optimizer: sgd  # slow\n  learning_rate: 0.001  # mine\n  epochs: 2\n")
    said = write(file, _tuning([], values={"train.optimizer": "als", "model.dimension": 16}))
    assert "no effect: train.learning_rate" in said
    assert "  optimizer: als  # slow\n  # learning_rate: 0.001  # mine\n  epochs: 2\n" in file.read_text()
    config = load_config(file)
    assert (config.train.optimizer, config.model.dimension) == ("als", 16)


def test_only_key_of_a_section_becomes_a_comment(tmp_path: Path) -> None:
    file = tmp_path / "pipeline.yaml"
    head = "name: films\ndata: {path: d.csv, columns: {left: l, right: r, score: s}}\n"
    file.write_text(f"{head}train:\n  learning_rate: 0.001\n")
    write(file, _tuning([], values={"train.optimizer": "als"}))
    assert file.read_text() == f"{head}train:\n  # learning_rate: 0.001\n  optimizer: als\n"


def test_settings_within_the_noise_are_not_written(tmp_path: Path) -> None:
    file = tmp_path / "pipeline.yaml"
    file.write_text(PIPELINE)
    trials = [
        _trial(1, 0.74, {"model.dimension": 16}, difference=-0.01, interval=[-0.05, 0.03], better=False),
        _trial(0, 0.75, {}),
    ]
    with pytest.raises(SettingsRefused) as refused:
        write(file, _tuning(trials, chosen=0))
    assert "none of 1 other settings is better than the current ones beyond noise" in str(refused.value)
    assert "trial 1, differs by -0.01000 in rmse, 95 % interval -0.05000 to +0.03000" in str(refused.value)
    assert file.read_text() == PIPELINE


def test_settings_that_the_file_cannot_have_are_not_written(tmp_path: Path) -> None:
    file = tmp_path / "pipeline.yaml"
    file.write_text(PIPELINE)
    with pytest.raises(ConfigError, match=r"pipeline.yaml: model.dimension"):
        write(file, _won(values={"model.dimension": -1}))
    assert file.read_text() == PIPELINE and os.listdir(tmp_path) == ["pipeline.yaml"]


def test_write_is_refused_before_the_search(tmp_path: Path) -> None:
    file = tmp_path / "pipeline.yaml"
    file.write_text(PIPELINE)
    check_writable(file, ["tune.trials=3"])
    with pytest.raises(ConfigError, match=r"--set model.bias=false would not fit the file"):
        check_writable(file, ["tune.trials=3", "model.bias=false"])
