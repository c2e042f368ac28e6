"""Loads the settings of `kindred tune`, and describes its trials."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipeline.config import PipelineConfig, load_config, yaml_file


def load_config_to_tune(
    path: Path,
    overrides: Sequence[str],
    data_path: str | None,
    trials: int | None,
    beam_profile: str | None = None,
) -> PipelineConfig:
    """Loads a pipeline file with a section `tune`, using defaults if it has none. `trials` replaces `tune.trials`.

    Raises:
      ConfigError: the pipeline file is invalid.
    """
    all_overrides = [*overrides, *([f"tune.trials={trials}"] if trials else [])]
    config = load_config(path, all_overrides, data_path, beam_profile)
    return config if config.tune else load_config(path, [*all_overrides, "tune={}"], data_path, beam_profile)


def describe(tuning: dict[str, Any]) -> str:
    """Returns a table of trials, the best first, and the best settings as lines of a pipeline file."""
    trials, measure = tuning["trials"], tuning["measure"]
    keys = list(trials[0]["settings"])
    rows = [["trial", measure, *keys]]
    rows += [
        [str(trial["trial"]), f"{trial['score']:.5f}", *(_cell(trial["settings"][key]) for key in keys)]
        for trial in trials
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    if len(trials) < tuning["asked"]:
        lines.append(
            f"{len(trials)} of {tuning['asked']} trials finished. The others diverged, did not fit in memory, or "
            "would have repeated another one. See run.log for the reasons"
        )
    return "\n".join([*lines, "", "The best settings, for the pipeline file:", _as_yaml(trials[0]["settings"])])


def _cell(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _as_yaml(settings: dict[str, Any]) -> str:
    sections: dict[str, Any] = {}
    for key, value in settings.items():
        *path, name = key.split(".")
        functools.reduce(lambda section, part: section.setdefault(part, {}), path, sections)[name] = value
    return yaml_file.dump(sections).rstrip()
