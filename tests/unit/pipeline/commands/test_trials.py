"""Loads the settings of `kindred tune`, and describes its trials."""

from __future__ import annotations

from pathlib import Path

import yaml

from pipeline.commands.trials import describe, load_config_to_tune
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


def test_trials_are_listed_best_first() -> None:
    settings = [
        {"model.dimension": 32, "train.learning_rate": 0.1 / 3},
        {"model.dimension": 8, "train.learning_rate": 1.0},
    ]
    trials = [{"trial": n, "score": s, "settings": given} for n, s, given in zip((4, 0), (0.5, 0.75), settings)]  # noqa: B905
    text = describe({"measure": "val_rmse", "asked": 5, "trials": trials})
    table, _, pasted = text.partition("The best settings, for the pipeline file:\n")
    rows = [line.split() for line in table.splitlines()]
    assert rows[:3] == [
        ["trial", "val_rmse", "model.dimension", "train.learning_rate"],
        ["4", "0.50000", "32", "0.03333"],
        ["0", "0.75000", "8", "1"],
    ]
    assert "2 of 5 trials finished" in table
    assert yaml.safe_load(pasted) == {"model": {"dimension": 32}, "train": {"learning_rate": 0.1 / 3}}
    nested = describe({"measure": "m", "asked": 1, "trials": [trials[0] | {"settings": {"train.als.ridge": 2}}]})
    assert yaml.safe_load(nested.rpartition("pipeline file:\n")[2]) == {"train": {"als": {"ridge": 2}}}
    everyone = describe({"measure": "val_rmse", "asked": 2, "trials": trials})
    assert "trials finished" not in everyone
