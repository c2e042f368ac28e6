"""The search of a section `tune`: tries the current settings first, and recommends only what is better beyond noise."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from errors import TrainingDiverged
from kindred import progress
from trainer.data.pairs import Pairs, TrainingPairs
from trainer.model.table_sizes import TableSizes
from trainer.search.choice import about_as_good, measure_of
from trainer.search.comparison import Difference, differences
from trainer.search.holdout import hold_out
from trainer.search.planning import follow
from trainer.search.plans import Plan
from trainer.search.proposals import Proposer
from trainer.search.records import Trial, TrialRecords
from trainer.search.space import LABEL_METRICS, Family, TuneSettings
from trainer.search.trials import TRIALS, Trials
from trainer.settings import SEARCHABLE, SearchSettings, has_solver, with_values

# Trials of each family before the search continues with the best one.
_LEAST = 2
# The largest factor between a proposal around the best trial and that trial.
_SPREAD = 3.0


@dataclasses.dataclass(frozen=True)
class Tuning:
    """The result of a search.

    Attributes:
      metric: the measure of the trials.
      rising: whether larger values are better.
      trials: every trial, in order.
      current: the number of the trial of the current settings, from 0.
      chosen: the number of the recommended trial. It is `current` if no other is better beyond noise.
      differences: of each trial from the current settings. None for the current settings and failed trials.
      asked: the maximum number of trials besides the current settings.
      held_out: the number of rows that measured the trials.
      values: the recommended settings by dotted key. Empty if those of the file are the best.
    """

    metric: str
    rising: bool
    trials: tuple[Trial, ...]
    current: int
    chosen: int
    differences: tuple[Difference | None, ...]
    asked: int
    held_out: int
    values: Mapping[str, Any]

    @property
    def zero_point(self) -> float | None:
        """The zero point of the recommended model if its values fix the number of epochs, otherwise None."""
        return self.trials[self.chosen].zero_point if "train.epochs" in self.values else None

    def to_json(self) -> dict[str, Any]:
        """Returns the result as JSON."""
        return dataclasses.asdict(self)


def tune(
    pairs: TrainingPairs,
    sizes: TableSizes,
    sections: Mapping[str, Any],
    metric: str,
    settings: TuneSettings,
    folder: str | None,
    say: Callable[[str], object],
    times: np.ndarray | None = None,
) -> Tuning:
    """Tries settings on the same training rows, and compares them on the same held-out rows.

    The current settings are those of the file. If the file leaves some open, they are those of the default search,
    whose trials come first.

    Args:
      pairs: the training pairs.
      sizes: the sizes of the embedding tables.
      sections: `model` and `train` of the pipeline file, as JSON.
      metric: the metric of the first blessing rule.
      settings: what to try.
      folder: keeps finished trials, so that an interrupted search resumes.
      say: gets a line for each trial.
      times: the time of each pair, float64 `[n]`, or None.

    Raises:
      TrainingDiverged: every trial failed.
    """
    kept, held = hold_out(pairs, times, settings.hold_out, settings.seed, sizes.shared)  # type: ignore[type-var]
    search = SearchSettings.model_validate(sections["train"]["search"])
    metric = measure_of(metric, pairs, sections, search)
    planned = search.active and isinstance(pairs, Pairs)
    before = search.budget if planned else 1
    trials = Trials(
        kept, held, sizes, sections, metric, before + settings.trials, say=say, records=TrialRecords(folder)
    )
    current = 0
    if planned:
        with progress.counted(TRIALS, before), trials.at_most(before):
            follow(trials, Plan(search.settings, sections))
        current = about_as_good(trials, range(len(trials.done)))
    else:
        trials.run({}, None)
    with progress.counted(TRIALS, settings.trials), trials.at_most(settings.trials):
        _explore(trials, settings, planned)
    if all(trial.value is None for trial in trials.done):
        raise TrainingDiverged(f"tune: all {len(trials.done)} trials failed. run.log has the reason of each")
    compared = _compared(trials, current, settings.seed)
    better = [number for number, difference in compared.items() if difference.better]
    chosen = about_as_good(trials, better) if better else current
    if trials.done[current].value is None:
        chosen = about_as_good(trials, range(len(trials.done)))
    return Tuning(
        metric, trials.rising, tuple(trials.done), current, chosen,
        tuple(compared.get(number) for number in range(len(trials.done))), settings.trials, len(held),
        _values(trials, chosen),
    )  # fmt: skip


def _explore(trials: Trials, settings: TuneSettings, planned: bool) -> None:
    """Tries the plan of the default search if `planned` is false, then every family, then more of the best family."""
    if settings.least_squares is not None and not planned and trials.in_memory:
        scored = trials.metric in LABEL_METRICS
        with trials.at_most(settings.trials // 2):
            follow(trials, Plan(SEARCHABLE[scored], trials.sections, settings.least_squares, math.inf))
    around = _around(trials) if settings.least_squares is not None else []
    families = [
        Proposer(family, settings.search, settings.seed + n) for n, family in enumerate([*settings.families, *around])
    ]
    tried: list[list[tuple[dict[str, Any], float]]] = [[] for _ in families]
    ended: set[int] = set()
    seen = {_effective(trials, trial.settings) for trial in trials.done}
    while len(ended) < len(families) and not trials.exhausted:
        ready = [number for number in range(len(families)) if number not in ended]
        few = [number for number in ready if len(tried[number]) < _LEAST]
        turn = min(few, key=lambda n: len(tried[n])) if few else max(ready, key=lambda n: max(g for _, g in tried[n]))
        proposal = families[turn].next(tried[turn])
        if proposal is None:
            ended.add(turn)
            continue
        if (effective := _effective(trials, proposal)) in seen:
            continue
        seen.add(effective)
        trial = trials.run(proposal, None)
        if trial is not None:
            tried[turn].append((proposal, trials.gain(trial)))


# Positive settings of least squares.
_STRENGTHS = ("model.regularization", "model.unobserved_weight", "train.als.ridge", "train.als.implicit")


def _around(trials: Trials) -> list[Family]:
    """Returns the settings around the best trial of least squares, if one is the best."""
    best = trials.best()
    chosen = {key: value for key, value in best.settings.items() if value is not None}
    if best.value is None or not chosen:
        return []
    parameters: dict[str, dict[str, Any]] = {
        key: {"min": chosen[key] / _SPREAD, "max": chosen[key] * _SPREAD, "scale": "log"}
        for key in _STRENGTHS
        if key in chosen
    }
    if "model.popularity_exponent" in chosen:
        at = chosen["model.popularity_exponent"]
        parameters["model.popularity_exponent"] = {"min": max(at - 0.1, 0), "max": min(at + 0.1, 1), "scale": "linear"}
    return [Family(settings=dict(best.settings), parameters=parameters)] if parameters else []


def _effective(trials: Trials, values: Mapping[str, Any]) -> str:
    return json.dumps(with_values(trials.sections, values), sort_keys=True)


def _compared(trials: Trials, current: int, seed: int) -> dict[int, Difference]:
    base = trials.figures[current]
    if base is None:
        return {}
    others = {n: figure for n, figure in enumerate(trials.figures) if figure is not None and n != current}
    return dict(zip(others, differences(base, list(others.values()), trials.rising, seed), strict=True))


def _values(trials: Trials, chosen: int) -> dict[str, Any]:
    """Returns the settings of a trial. A solver trains on all rows, for the number of epochs of the trial."""
    trial = trials.done[chosen]
    if not trial.settings:
        return {}
    whole = with_values(trials.sections, trial.settings)
    objective, optimizer = whole["model"]["objective"], whole["train"]["optimizer"]
    if not has_solver(objective, optimizer):
        return dict(trial.settings)
    return {
        **trial.settings, "train.optimizer": optimizer, "train.epochs": trial.epochs, "train.early_stopping": None
    }  # fmt: skip
