"""Summarizes the trials of the Tuner, for the record and in one line for people."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

from components.tuner.executor import TUNING_FILE
from pipeline.config import PipelineConfig


def read(results: str, config: PipelineConfig) -> tuple[dict[str, Any], str]:
    """Returns `tuning` of summary.json, with the best trial first, and a line.

    Args:
      results: the folder of the trials.
      config: the pipeline file.
    """
    found = json.loads(Path(results, TUNING_FILE).read_text(encoding="utf-8"))
    keys = list(dict.fromkeys(key for trial in found["trials"] for key in trial["settings"]))
    file = {key: _value(config, key) for key in keys}
    trials = [_trial(found, number, file) for number in range(len(found["trials"]))]
    line = _line(found, trials)
    trials.sort(key=lambda t: (t["score"] is None, (-1 if found["rising"] else 1) * (t["score"] or 0)))
    kept = {key: found[key] for key in ("rising", "asked", "held_out", "current", "chosen", "values")}
    return {"measure": found["metric"], **kept, "trials": trials}, line


def _value(config: PipelineConfig, key: str) -> Any:
    return functools.reduce(getattr, key.split("."), config)


def _trial(found: dict[str, Any], number: int, file: dict[str, Any]) -> dict[str, Any]:
    """Returns the record of a trial. A trial of the file itself has the values of the file."""
    trial, difference = found["trials"][number], found["differences"][number]
    record = {
        "trial": number, "score": trial["value"], "settings": trial["settings"] or file, "epochs": trial["epochs"],
        "seconds": trial["seconds"],
    }  # fmt: skip
    if trial["fault"]:
        record["fault"] = trial["fault"]
    if difference:
        interval = [difference["low"], difference["high"]]
        record |= {"difference": difference["value"], "interval": interval, "better": difference["better"]}
    return record


def _line(found: dict[str, Any], trials: list[dict[str, Any]]) -> str:
    chosen, current = trials[found["chosen"]], trials[found["current"]]
    here = f"{found['metric']} {current['score']:.4f}" if current["score"] is not None else current["fault"]
    if chosen is current:
        return f"{len(trials)} trials, none better than the current settings beyond noise ({here})"
    settings = ", ".join(f"{key} {_figure(value)}" for key, value in chosen["settings"].items())
    line = f"{len(trials)} trials, best {found['metric']} {chosen['score']:.4f}: {settings}. Current settings: {here}"
    if "interval" not in chosen:
        return line
    low, high = chosen["interval"]
    return f"{line}, difference {chosen['difference']:+.4f}, 95 % interval {low:+.4f} to {high:+.4f}"


def _figure(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
