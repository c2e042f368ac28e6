"""The settings that the Trainer tried and chose, and the trials of the Tuner."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from pipeline.records import node_ids
from pipeline.report import words
from pipeline.report.sources import Absent, Run
from trainer.search.measures import is_rising


@dataclasses.dataclass(frozen=True)
class Searched:
    """The trials of a search, best first: number, measure, settings in the order of `keys`, epochs and seconds."""

    sentences: Sequence[str]
    metric: str
    keys: Sequence[str]
    rows: Sequence[tuple[str, str, Sequence[str], str, str]]


def searched(run: Run) -> Searched:
    """Returns the trials of the Trainer."""
    search: dict[str, Any] | None = run.summary.get("search")
    if not search:
        raise Absent("The pipeline file sets the model and its training, so that the Trainer had nothing to choose.")
    trials = list(enumerate(search["trials"]))
    rising = is_rising(search["metric"])
    trials.sort(key=lambda pair: (pair[1]["value"] is None, (-1 if rising else 1) * (pair[1]["value"] or 0)))
    keys = list(dict.fromkeys(key for _, trial in trials for key in trial["settings"]))
    rows = [
        (
            f"{number + 1}{' (chosen)' if number == search['chosen'] else ''}",
            words.figure(trial["value"]) if trial["value"] is not None else "does not fit in memory",
            [setting(trial["settings"].get(key, "")) for key in keys],
            str(trial["epochs"]),
            f"{trial['seconds']:.1f} s",
        )
        for number, trial in trials
    ]
    return Searched(list(_sentences(search, rising)), search["metric"], keys, rows)


_ROWS = {
    "random": "", "latest": ", the latest ones", "latest_of_left": ", the latest of each left entity"
}  # fmt: skip


def _sentences(search: dict[str, Any], rising: bool) -> Sequence[str]:
    chosen = search["trials"][search["chosen"]]
    best = (max if rising else min)(trial["value"] for trial in search["trials"] if trial["value"] is not None)
    which = _ROWS[search.get("hold_out", "random")]
    sentences = [
        f"The pipeline file leaves these settings open. The Trainer measured each trial by {search['metric']} on "
        f"{words.count(search['held_out'])} training rows that the trial did not see{which}. "
        f"{'Higher' if rising else 'Lower'} is better."
    ]
    if chosen["value"] == best:
        sentences.append("It chose the best trial.")
    else:
        sentences.append("It chose the smallest model that is about as good as the best trial.")
    sentences.append(f"Then it trained on all training rows for {chosen['epochs']} epochs.")
    if search["reused"]:
        sentences.append(
            "This search is of an earlier run with data of about the same size. Set train.search.renew to search again."
        )
    return sentences


@dataclasses.dataclass(frozen=True)
class Tuned:
    """The trials of the Tuner, best first: number, measure, difference with interval, settings, epochs and seconds."""

    sentences: Sequence[str]
    metric: str
    keys: Sequence[str]
    rows: Sequence[tuple[str, str, str, Sequence[str], str, str]]


def tuned(run: Run) -> Tuned:
    """Returns the trials of the Tuner."""
    tuning = run.summary.get("tuning")
    if not tuning:
        raise Absent(
            "The pipeline file requests no trials (section tune)."
            if not run.config.get("tune")
            else run.why_not(node_ids.TUNER)
        )
    trials = tuning["trials"]
    keys = list(dict.fromkeys(key for trial in trials for key in trial["settings"]))
    rows = [
        (
            f"{trial['trial']}{_role(trial['trial'], tuning)}",
            words.figure(trial["score"]) if trial["score"] is not None else trial["fault"],
            _difference(trial),
            [setting(trial["settings"].get(key, "")) for key in keys],
            str(trial["epochs"]),
            f"{trial['seconds']:.1f} s",
        )
        for trial in trials
    ]
    return Tuned(list(_of_tuning(tuning)), tuning["measure"], keys, rows)


def _role(number: int, tuning: dict[str, Any]) -> str:
    roles = [name for name, of in (("current", "current"), ("recommended", "chosen")) if tuning[of] == number]
    return f" ({', '.join(roles)})" if roles else ""


def _difference(trial: dict[str, Any]) -> str:
    if "interval" not in trial:
        return ""
    low, high = trial["interval"]
    return f"{trial['difference']:+.4f} ({low:+.4f} to {high:+.4f})"


def _of_tuning(tuning: dict[str, Any]) -> Sequence[str]:
    failed = sum(trial["score"] is None for trial in tuning["trials"])
    sentences = [
        f"{len(tuning['trials'])} trials on the same training rows, measured by {tuning['measure']} on the same "
        f"{words.count(tuning['held_out'])} rows that no trial saw. {'Higher' if tuning['rising'] else 'Lower'} is "
        "better.",
        "The intervals of the differences from the current settings hold for all trials together (95 %).",
    ]
    if failed:
        sentences.append(f"{failed} trials have no result. The table shows the reasons.")
    if tuning["chosen"] == tuning["current"]:
        sentences.append("No settings are better than the current ones beyond noise, so these are kept.")
    return sentences


def setting(value: object) -> str:
    """Returns the value of a setting as text."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)
