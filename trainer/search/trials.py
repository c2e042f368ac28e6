"""Trials of settings on the same training rows, measured on the same held-out rows."""

from __future__ import annotations

import contextlib
import functools
import gc
import json
import math
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
from absl import logging

from errors import TrainingError, TrainingTooLarge
from kindred import progress
from trainer.data.pairs import Pairs, ReusedPairs, TrainingPairs
from trainer.least_squares.blend import blended, sample_of
from trainer.model.table_sizes import TableSizes
from trainer.search import descent
from trainer.search.gauge import Gauge
from trainer.search.measures import Figure, is_rising
from trainer.search.records import Measured, Trial, TrialRecords
from trainer.search.sweeps import UNLIMITED, Limits, SweepRun
from trainer.search.work import Work
from trainer.settings import ModelSettings, TrainSettings, has_solver, with_values
from trainer.training import memory
from trainer.training.alternation import solver_of

TRIALS = "trials"
"""What `kindred.progress` counts."""
_SWEEPS = 16


class Trials:
    """Trains with settings on some rows and measures them on others.

    Args:
      kept: the rows to train on. Least squares needs them in memory.
      held: the rows to measure on.
      sizes: the sizes of the embedding tables.
      sections: `model` and `train` of the pipeline file, as JSON. Trials replace the searched keys.
      metric: the metric of the first blessing rule: a metric of labels, or a ranking metric.
      budget: the maximum number of trials.
      sweeps: the number of sweeps of every trial, or None to find the best number.
      say: gets a line for each trial.
      records: finished trials of an interrupted search.
      rows: the number of training pairs of the pipeline, of which the search may use a part. None: those of both
        arguments. Settings with which not all of them fit in memory are no choice.
    """

    def __init__(
        self,
        kept: TrainingPairs,
        held: Pairs,
        sizes: TableSizes,
        sections: Mapping[str, Any],
        metric: str,
        budget: int,
        sweeps: int | None = None,
        say: Callable[[str], object] = logging.info,
        records: TrialRecords | None = None,
        rows: int | None = None,
    ) -> None:
        # What trials compute from the rows alone, they share.
        self._kept = ReusedPairs.of(kept) if isinstance(kept, Pairs) else kept
        self._held, self.sizes = held, sizes
        self.sections, self.budget, self._sweeps = sections, budget, sweeps
        self._seed = TrainSettings.model_validate(sections["train"]).seed
        self._gauge = Gauge(metric, kept, held, sizes, self._seed)
        self.metric, self.rising = metric, is_rising(metric)
        self.done: list[Trial] = []
        self.figures: list[Figure | None] = []
        self._say, self._records = say, records or TrialRecords(None)
        self.spent = 0
        self._rows = len(kept) + len(held) if rows is None else rows
        self.work = Work(self._kept, sizes, self._gauge.queries, self._rows / max(len(kept), 1))
        # The best run of each objective and dimension, by its settings.
        self._runs: dict[str, SweepRun] = {}
        self._best_runs: dict[tuple[str, int], tuple[str, float]] = {}

    @contextlib.contextmanager
    def at_most(self, count: int) -> Iterator[None]:
        """Limits the trials inside the block to `count`."""
        whole, self.budget = self.budget, min(self.budget, self.spent + count)
        yield
        self.budget = whole

    def dimension(self, number: int) -> int:
        """Returns the dimension of a finished trial."""
        return self.dimension_of(self.done[number].settings)

    def dimension_of(self, settings: Mapping[str, Any]) -> int:
        """Returns the dimension of the values of a trial by dotted key."""
        return int(settings.get("model.dimension", self.sections["model"]["dimension"]))

    def most(self, sweeps: int) -> int:
        """Returns the maximum number of sweeps of a trial, if it is not the same for all."""
        return self._sweeps or sweeps

    @property
    def worked(self) -> float:
        """The predicted work of all trials so far, in seconds of a core."""
        return sum(trial.work for trial in self.done)

    @property
    def density(self) -> float:
        """The share of all pairs of entities that are training rows, times the median weight of a row."""
        left, right = (int((counts > 0).sum()) for counts in self._kept.occurrences(self.sizes.entities))
        weight = self._kept.weight if isinstance(self._kept, Pairs) else None
        return len(self._kept) / (left * right) * (1.0 if weight is None else float(np.median(weight)))

    @property
    def deviation(self) -> float:
        """The standard deviation of the labels, or 1 if all are equal."""
        return float(self._kept.label.std(dtype=np.float64)) or 1.0 if isinstance(self._kept, Pairs) else 1.0

    @property
    def in_memory(self) -> bool:
        """Whether least squares can be tried."""
        return isinstance(self._kept, Pairs)

    @property
    def exhausted(self) -> bool:
        """Whether the budget is spent."""
        return self.spent >= self.budget

    def gain(self, trial: Trial) -> float:
        """Returns the value of a trial such that larger is better, -inf without a finite value."""
        if trial.value is None or not math.isfinite(trial.value):
            return -math.inf
        return trial.value if self.rising else -trial.value

    def best(self) -> Trial:
        """Returns the best trial. An earlier one wins a tie."""
        return max(self.done, key=self.gain)

    def run(
        self,
        settings: Mapping[str, Any],
        sweeps: int | None = _SWEEPS,
        widths: tuple[int, ...] = (),
        quick: bool = False,
        limits: Limits = UNLIMITED,
    ) -> Trial | None:
        """Trains with `settings` until two sweeps in a row are not better.

        Sweeps of `spectral` approach one solution, so that the last is the best. It is the only one that is measured.

        Args:
          settings: values by dotted key. Repeated settings are not trained again.
          sweeps: the maximum number of sweeps. None trains as a pipeline file with these settings.
          widths: smaller dimensions to measure too, where the first columns of a wider solution are the narrower one.
          quick: measures only the last sweep. A later run of the same settings continues from it.
          limits: when it ends earlier.

        Returns:
          The best trial of these, or None if the budget is spent.
        """
        sweeps = self._sweeps or sweeps
        for trial in self.done:
            if trial.settings == settings and (trial.settled or sweeps is None or trial.sweeps >= sweeps):
                return trial
        if self.exhausted:
            return None
        self.spent += 1
        key = [dict(settings), sweeps, list(widths), quick]
        measured = self._records.read(key)
        if measured is None:
            measured = self._made(settings, sweeps, widths, quick, limits)
            self._records.write(key, measured)
        for trial, figure in measured:
            self._add(trial, figure)
        return max((trial for trial, _ in measured), key=self.gain)

    def _add(self, trial: Trial, figure: Figure | None) -> None:
        self.done.append(trial)
        self.figures.append(figure)
        progress.advance(TRIALS, 1)
        self._say(f"trial {self.spent} of at most {self.budget}: {self._line(trial)}")

    def _line(self, trial: Trial) -> str:
        chosen = ", ".join(f"{key} {value}" for key, value in trial.settings.items()) or "the settings of the file"
        if trial.value is None:
            return f"{chosen}: {trial.fault}"
        best = ", the best so far" if trial is self.best() and len(self.done) > 1 else ""
        return f"{self.metric} {trial.value:.5g} after {trial.epochs} epochs in {trial.seconds:.1f} s{best}: {chosen}"

    def _made(
        self,
        settings: Mapping[str, Any],
        sweeps: int | None,
        widths: tuple[int, ...],
        quick: bool,
        limits: Limits,
    ) -> list[Measured]:
        sections = with_values(self.sections, settings)
        model, train = ModelSettings.model_validate(sections["model"]), TrainSettings.model_validate(sections["train"])
        since = time.monotonic()
        try:
            streamed = not isinstance(self._kept, Pairs)
            memory.check(self.sizes, model, train, self._rows, streamed)
            if not has_solver(model.objective, train.optimizer):
                return [self._descended(settings, model, train)]
            if not isinstance(self._kept, Pairs):
                raise TrainingTooLarge("train.data_memory_mb: the solver holds all pairs in memory. Raise it")
            return self._swept(self._kept, settings, model, train, sweeps, widths, quick, limits)
        except TrainingError as error:
            return [(Trial(settings, None, 0, round(time.monotonic() - since, 2), 0, fault=str(error)), None)]

    def _descended(self, settings: Mapping[str, Any], model: ModelSettings, train: TrainSettings) -> Measured:
        """Trains as the Trainer does, with the held-out rows in place of those of `train.early_stopping`."""
        since = time.monotonic()
        network, history, epochs = descent.fit(self._kept, self._held, self.sizes, model, train, self.metric)
        figure = self._gauge.of_network(network, model)
        del network
        # A Keras model is part of a reference cycle, and Python does not know how large its tables are.
        gc.collect()
        seconds = round(time.monotonic() - since, 2)
        return Trial(settings, figure.value, epochs, seconds, len(next(iter(history.values())))), figure

    def _swept(
        self,
        kept: Pairs,
        settings: Mapping[str, Any],
        model: ModelSettings,
        train: TrainSettings,
        sweeps: int | None,
        widths: tuple[int, ...],
        quick: bool,
        limits: Limits,
    ) -> list[Measured]:
        fixed = quick or bool(self._sweeps) or (sweeps is None and train.early_stopping is None)
        key = json.dumps([dict(settings), widths], sort_keys=True)
        run, every = self._runs.get(key), (*widths, model.dimension)
        if run is None:
            solver = solver_of(kept, self.sizes, model, train)
            measure = functools.partial(self._gauge.of_solver, log_odds=model.log_odds)
            costs = self.work.costs(model.objective, every, train.als.copies)
            run = SweepRun(solver, settings, every, self.rising, measure, self._gauge.ranks, costs)
        measured = run.sweep(sweeps or train.epochs, fixed or model.objective == "spectral", limits)
        self._remember(key, run, model, max(self.gain(trial) for trial, _ in measured))
        return measured

    def _remember(self, key: str, run: SweepRun, model: ModelSettings, gain: float) -> None:
        """Keeps the best run of each objective and dimension, to continue it or to use its tables."""
        place = (model.objective, model.dimension)
        best = self._best_runs.get(place)
        if best is None or gain > best[1] or best[0] == key:
            if best is not None:
                self._runs.pop(best[0], None)
            self._best_runs[place], self._runs[key] = (key, gain), run

    def blend(self, settings: Mapping[str, Any], ials: Trial, spectral: Trial, sweeps: int) -> Trial | None:
        """Tries the sum of two finished trials. Trains it if their tables are not there.

        Args:
          settings: of the sum.
          ials: of the first part.
          spectral: of the second part, or one with more dimensions.
          sweeps: the maximum number of sweeps of a training.
        """
        half = self.dimension_of(settings) // 2
        parts = [self._tables(ials, self.dimension_of(settings) - half), self._tables(spectral, half)]
        if not all(parts) or self.exhausted:
            return self.run(settings, sweeps)
        self.spent += 1
        since = time.monotonic()
        assert isinstance(self._kept, Pairs)
        left, right = blended(parts[0], parts[1], sample_of(self._kept, self._seed))
        figure, zero = self._gauge.of_tables(left, right)
        seconds = round(time.monotonic() - since, 2)
        work = round(self.work.ranking(self.dimension_of(settings)), 4)
        self._add(Trial(settings, figure.value, ials.epochs, seconds, ials.sweeps, zero, work=work), figure)
        return self.done[-1]

    def _tables(self, trial: Trial, width: int) -> list[np.ndarray]:
        """Returns tables of `width` columns with the settings of a trial, if a run has them, or nothing.

        The first columns of a wider `spectral` are those of a narrower one.
        """
        of = {**trial.settings, "model.dimension": 0}
        for run in self._runs.values():
            wide = self.dimension_of(run.settings)
            if {**run.settings, "model.dimension": 0} == of and (
                wide == width or (wide > width and of.get("model.objective") == "spectral")
            ):
                return [table[:, :width] for table in run.tables]
        return []
