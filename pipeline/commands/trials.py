"""Loads the settings of `kindred tune`, and describes its trials."""

from __future__ import annotations

import functools
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from errors import ConfigError, SettingsRefused
from pipeline.commands.table import lay_out
from pipeline.config import PipelineConfig, edit, effects, load_config, yaml_file
from trainer.settings import with_values


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


def write(path: Path, tuning: Mapping[str, Any]) -> str:
    """Puts the recommended settings into the pipeline file. Its comments and order stay.

    Args:
      path: the pipeline file.
      tuning: `tuning` of the record of the run.

    Returns:
      A sentence about what was written.

    Raises:
      SettingsRefused: no trial is better than the current settings beyond noise.
      ConfigError: the file cannot be edited or written.
    """
    if tuning["chosen"] == tuning["current"]:
        raise SettingsRefused(f"{path} is unchanged: {_why_not(tuning)}")
    useless = _without_effect(path, tuning["values"])
    text = edit.with_keys(path.read_text(encoding="utf-8"), tuning["values"], str(path))
    text = edit.without_keys(text, useless, str(path))
    staged = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        staged.write_text(text, encoding="utf-8")
        _check(staged, path)
        shutil.copymode(path, staged)
        os.replace(staged, path)
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise ConfigError(f"{path}: cannot be written ({reason}). Copy the settings above by hand") from None
    finally:
        staged.unlink(missing_ok=True)
    comments = f". Now comments, because they would have no effect: {', '.join(useless)}" if useless else ""
    return f"Written to {path}: {', '.join(tuning['values'])}{comments}"


def _without_effect(path: Path, values: Mapping[str, Any]) -> list[str]:
    """Returns the keys of the file that have no effect with other settings."""
    sections = load_config(path).sections
    names = {key.partition(".")[0] for key in values}
    changed = with_values({name: sections[name].model_dump(mode="json") for name in names}, values)
    try:
        sections |= {name: type(sections[name]).model_validate(changed[name]) for name in names}
    except ValidationError:
        return []  # the check of the new file has the message
    return [key for key in effects.without_effect(sections) if key not in values]


def _check(staged: Path, path: Path) -> None:
    """Checks the new file before it replaces the old one."""
    try:
        load_config(staged)
    except ConfigError as error:
        raise ConfigError(str(error).replace(str(staged), str(path))) from None


def check_writable(path: Path, overrides: Sequence[str]) -> None:
    """Checks before a search that its result can go into the file.

    Raises:
      ConfigError: the file is not writable, or the search has other settings than the file.
    """
    foreign = [override for override in overrides if not override.startswith("tune.")]
    if foreign:
        raise ConfigError(
            f"--write: the result of --set {foreign[0]} would not fit the file. Put the value into {path}, and omit "
            "--set"
        )
    if not os.access(path, os.W_OK) or not os.access(path.absolute().parent, os.W_OK):
        raise ConfigError(f"--write: {path} cannot be written. Change its permissions, or omit --write")


def _why_not(tuning: Mapping[str, Any]) -> str:
    """Returns the reason why no trial is recommended, with the figures of the best one."""
    others = [trial for trial in tuning["trials"] if trial["trial"] != tuning["current"]]
    reason = f"none of {len(others)} other settings is better than the current ones beyond noise"
    best = next((trial for trial in others if "interval" in trial), None)
    if best is None:
        return f"{reason}. None has a result"
    low, high = best["interval"]
    return (
        f"{reason}. The best of them, trial {best['trial']}, differs by {best['difference']:+.5f} in "
        f"{tuning['measure']}, 95 % interval {low:+.5f} to {high:+.5f}. More trials or more data may show a difference"
    )


def describe(tuning: dict[str, Any]) -> str:
    """Returns a table of trials, the best first, and the recommended settings as lines of a pipeline file."""
    trials, measure = tuning["trials"], tuning["measure"]
    keys = list(dict.fromkeys(key for trial in trials for key in trial["settings"]))
    rows = [["trial", measure, "difference", "95 % interval", "seconds", *keys]]
    rows += [_row(trial, keys, tuning["current"]) for trial in trials]
    lines = lay_out(rows[0], rows[1:])
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
