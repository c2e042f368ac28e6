"""Chooses settings for a training, or reuses the last choice for data of about the same size."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf
from absl import logging

from errors import TrainingTooLarge
from kindred import progress
from trainer.data.pairs import Pairs, TrainingPairs
from trainer.model.table_sizes import TableSizes
from trainer.search.holdout import hold_out
from trainer.search.planning import follow
from trainer.search.plans import Plan
from trainer.search.records import Trial
from trainer.search.space import HoldOut
from trainer.search.trials import TRIALS, Trials
from trainer.settings import LOG_LOSS, RMSE, SOLVED_BY, SearchSettings

CHOICE_FILE = "search.json"
# More rows than this do not change which settings are best, but their trials would take longer.
_ROWS = 1_000_000
# Choices of data whose sizes differ by at most this share are reused.
_ALIKE = 0.2
# A trial with a smaller dimension wins if it is worse by at most this share.
_ABOUT_EQUAL = {True: 0.002, False: 0.01}
# Rankings gain nothing worth a worse metric from a smaller dimension than this.
_SMALL = {True: 0, False: 64}
# Raise it if the same trials would no longer be made.
_VERSION = 4


@dataclasses.dataclass(frozen=True)
class Choice:
    """The chosen settings.

    Attributes:
      metric: the measure of the trials.
      sizes: training rows, and left and right entities, of the data of the search.
      trials: every trial, in order.
      chosen: the number of the chosen trial, from 0.
      held_out: the number of rows that measured the trials.
      hold_out: which rows these are.
      reused: whether the choice is of an earlier run.
      finding: what was wrong with the choice of the earlier run, or None.
    """

    metric: str
    sizes: Mapping[str, int]
    trials: tuple[Trial, ...]
    chosen: int
    held_out: int
    reused: bool = False
    finding: str | None = None
    hold_out: HoldOut = "random"

    @property
    def best(self) -> Trial:
        """The chosen trial."""
        return self.trials[self.chosen]

    @property
    def values(self) -> dict[str, Any]:
        """The chosen settings by dotted key. The training uses all rows and stops after the chosen number of epochs."""
        return {**self.best.settings, "train.epochs": self.best.epochs, "train.early_stopping": None} | (
            {"train.optimizer": SOLVED_BY.get(self.best.settings.get("model.objective", ""), "als")}
        )

    def describe(self) -> str:
        """Returns the choice in a line."""
        given = {key.rpartition(".")[2]: value for key, value in self.best.settings.items() if value is not None}
        chosen = ", ".join(
            f"{name} {value:g}" if isinstance(value, float) else f"{name} {value}" for name, value in given.items()
        )
        left_out = sum(trial.value is None for trial in self.trials)
        tried = f"{len(self.trials) - left_out} settings tried"
        if left_out:
            tried += f", {left_out} left out because they do not fit in memory"
        when = "settings of an earlier search" if self.reused else tried
        line = f"{when}: {chosen} ({self.metric} {self.best.value:.4f} on held-out rows)"
        return f"{line}. {self.finding}" if self.finding else line

    def to_json(self) -> dict[str, Any]:
        """Returns the content of `CHOICE_FILE`."""
        return dataclasses.asdict(self) | {"values": self.values}

    @classmethod
    def of_json(cls, tree: Mapping[str, Any]) -> Choice:
        """Reads the result of `to_json`."""
        fields = {field.name: tree[field.name] for field in dataclasses.fields(cls) if field.name in tree}
        return cls(**fields | {"trials": tuple(Trial(**trial) for trial in tree["trials"])})


def choose(
    pairs: Pairs,
    sizes: TableSizes,
    sections: Mapping[str, Any],
    metric: str,
    search: SearchSettings,
    folder: str,
    times: np.ndarray | None = None,
    how: HoldOut = "random",
) -> Choice:
    """Returns the last choice in `folder` for such settings and data, or searches.

    Args:
      pairs: the training pairs.
      sizes: the sizes of the embedding tables.
      sections: `model` and `train` of the pipeline file, as JSON.
      metric: the metric of the first blessing rule.
      search: section `train.search`.
      folder: where choices are kept from run to run.
      times: the time of each pair, float64 `[n]`, or None.
      how: which rows measure the trials.

    Raises:
      TrainingTooLarge: no trial fits in memory.
    """
    how = "random" if times is None else how
    metric = measure_of(metric, pairs, sections, search)
    of = [sections, metric, _VERSION, how]
    path = f"{folder}/{hashlib.sha256(json.dumps(of, sort_keys=True).encode()).hexdigest()[:16]}.json"
    known = {"rows": len(pairs)} | dict(zip(("left", "right"), map(_count, (pairs.left, pairs.right)), strict=True))
    last, finding = (None, None) if search.renew else _last(path)
    if last and all(abs(last.sizes[name] - size) <= _ALIKE * size for name, size in known.items()):
        logging.info("the settings of the last search are used again: %s", last.values)
        return dataclasses.replace(last, reused=True)
    seed = int(sections["train"]["seed"])
    some = _some_left(pairs, seed)
    if some is not None:
        pairs, times = pairs.take(some), None if times is None else times[some]
    kept, held = hold_out(pairs, times, how, seed, sizes.shared)
    choice = _searched(kept, held, sizes, sections, metric, search, known)
    choice = dataclasses.replace(choice, finding=finding, hold_out=how)
    _write(path, dataclasses.replace(choice, finding=None))
    return choice


def measure_of(metric: str, pairs: TrainingPairs, sections: Mapping[str, Any], search: SearchSettings) -> str:
    """Returns the metric of the trials: instead of `rmse`, the log loss if log odds of two labels can be learned."""
    possible = "model.objective" in search.settings or sections["model"]["objective"] == "logistic"
    binary = metric == RMSE and possible and isinstance(pairs, Pairs) and pairs.is_binary
    return LOG_LOSS if binary else metric


def _searched(
    kept: Pairs,
    held: Pairs,
    sizes: TableSizes,
    sections: Mapping[str, Any],
    metric: str,
    search: SearchSettings,
    known: Mapping[str, int],
) -> Choice:
    sweeps = None if "train.epochs" in search.settings else int(sections["train"]["epochs"])
    trials = Trials(kept, held, sizes, sections, metric, search.budget, sweeps, rows=known["rows"])
    with progress.counted(TRIALS, search.budget):
        follow(trials, Plan(search.settings, sections))
    if trials.best().fault:
        raise TrainingTooLarge(str(trials.best().fault))
    return Choice(metric, known, tuple(trials.done), about_as_good(trials, range(len(trials.done))), len(held))


def about_as_good(trials: Trials, numbers: Iterable[int]) -> int:
    """Returns the number of the smallest model that is about as good as the best one, of some trials."""
    gains = {number: trials.gain(trials.done[number]) for number in numbers}
    best = max(gains.values())
    least = best - abs(best) * _ABOUT_EQUAL[trials.rising is False] if math.isfinite(best) else best
    good = [number for number, gain in gains.items() if gain >= least]
    small = _SMALL[trials.rising is False]
    return min(good, key=lambda number: (max(trials.dimension(number), small), -gains[number]))


def _some_left(pairs: Pairs, seed: int) -> np.ndarray | None:
    """Returns all rows of random left entities, about `_ROWS`, or None for all.

    The share of observed pairs stays the same.
    """
    if len(pairs) <= _ROWS:
        return None
    counts = np.bincount(pairs.left)
    order = np.random.default_rng(seed).permutation(len(counts))
    chosen = np.zeros(len(counts), bool)
    chosen[order[: int(np.searchsorted(np.cumsum(counts[order]), _ROWS)) + 1]] = True
    return np.flatnonzero(chosen[pairs.left])


def _count(entities: np.ndarray) -> int:
    return int((np.bincount(entities) > 0).sum())


def _last(path: str) -> tuple[Choice | None, str | None]:
    """Returns the earlier choice, and why it cannot be used. A damaged file is no reason to fail: the search makes it.

    The file must have a metric, a trial that was chosen, and its settings.
    """
    try:
        choice = _read(path)
        if choice is not None and choice.best.value is not None:
            # Raises if a value has another type.
            choice.describe()
            sum(abs(choice.sizes[name]) for name in ("rows", "left", "right"))
        return choice, None
    except (tf.errors.OpError, OSError, ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        logging.warning("%s cannot be read: %s", path, error)
        return None, f"The choice of an earlier run could not be read ({path}), so settings were searched again"


def read_choice(model_run: str) -> Choice | None:
    """Reads the choice of a training from its folder of records, if there was one."""
    return _read(f"{model_run}/{CHOICE_FILE}")


def _read(path: str) -> Choice | None:
    if not tf.io.gfile.exists(path):
        return None
    with tf.io.gfile.GFile(path) as file:
        return Choice.of_json(json.load(file))


def _write(path: str, choice: Choice) -> None:
    tf.io.gfile.makedirs(path.rpartition("/")[0])
    staged = path + ".staged"
    with tf.io.gfile.GFile(staged, "w") as file:
        json.dump(choice.to_json(), file)
    tf.io.gfile.rename(staged, path, overwrite=True)
