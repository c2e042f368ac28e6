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
    """Returns a table of trials, the best first, and the recommended settings as lines of a pipeline file."""
    trials, measure = tuning["trials"], tuning["measure"]
    keys = list(dict.fromkeys(key for trial in trials for key in trial["settings"]))
    rows = [["trial", measure, "difference", "95 % interval", "seconds", *keys]]
    rows += [_row(trial, keys, tuning["current"]) for trial in trials]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    lines += [f"trial {trial['trial']} has no result: {trial['fault']}" for trial in trials if "fault" in trial]
    others = len(trials) - 1
    if others < tuning["asked"]:
        lines.append(
            f"{others} settings besides the current ones, of at most {tuning['asked']}: there was nothing else to try"
        )
    if tuning["chosen"] == tuning["current"]:
        lines.append("No settings are better than the current ones beyond noise. Keep them.")
    if not tuning["values"]:
        return "\n".join(lines)
    return "\n".join([*lines, "", "The best settings, for the pipeline file:", _as_yaml(tuning["values"])])


def _row(trial: dict[str, Any], keys: Sequence[str], current: int) -> list[str]:
    difference, interval = "", ""
    if trial["trial"] == current:
        difference = "current"
    elif "interval" in trial:
        difference = f"{trial['difference']:+.5f}"
        interval = "{:+.5f} to {:+.5f}".format(*trial["interval"])
    score = "-" if trial["score"] is None else f"{trial['score']:.5f}"
    settings = [_cell(trial["settings"].get(key, "")) for key in keys]
    return [str(trial["trial"]), score, difference, interval, f"{trial['seconds']:.1f}", *settings]


def _cell(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _as_yaml(settings: dict[str, Any]) -> str:
    sections: dict[str, Any] = {}
    for key, value in settings.items():
        *path, name = key.split(".")
        functools.reduce(lambda section, part: section.setdefault(part, {}), path, sections)[name] = value
    return yaml_file.dump(sections).rstrip()
