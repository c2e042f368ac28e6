"""Trials of settings on the same training rows, measured on the same held-out rows."""

from __future__ import annotations

import contextlib
import functools
import gc
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from absl import logging

from errors import TrainingError, TrainingTooLarge
from kindred import progress
from trainer.data.pairs import Pairs, ReusedPairs, TrainingPairs
from trainer.least_squares.blend import blended, sample_of
from trainer.least_squares.spectral import ENOUGH_SWEEPS
from trainer.model.table_sizes import TableSizes
from trainer.ranking.blocks import one_blas_thread
from trainer.search import descent
from trainer.search.gauge import Gauge
from trainer.search.measures import Figure, averaged, is_rising
from trainer.search.records import Measured, Trial, TrialRecords
from trainer.search.standings import Standings
from trainer.search.sweeps import SweepRun
from trainer.settings import ModelSettings, TrainSettings, has_solver, with_values
from trainer.training import memory
from trainer.training.alternation import Solver, solver_of

TRIALS = "trials"
"""What `kindred.progress` counts."""
_SWEEPS = 16
# Sweeps of `spectral` that start from the directions of another exponent.
_WARM_SWEEPS = 2
# A search of at least twice as many rows first ranks settings on a share of the rows, at least so many, by the rankings
# of so many left entities.
_SCOUT_ROWS, _SCOUT_SHARE, _SCOUT_QUERIES = 100_000, 0.25, 3_000
# Trials of fewer rows have products that are too small for several threads.
_SMALL = 50_000
# Trials on all rows that follow.
_RESERVE = 7


class Trials(Standings):
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
      draws: further draws of rows to train on and to measure on. The figures of all draws are averaged.
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
        draws: Sequence[tuple[Pairs, Pairs]] = (),
    ) -> None:
        self._kept = ReusedPairs.of(kept) if isinstance(kept, Pairs) else kept
        self._held, self.sizes = held, sizes
        self.sections, self.budget, self._sweeps = sections, budget, sweeps
        self._seed = TrainSettings.model_validate(sections["train"]).seed
        self._gauge = Gauge(metric, kept, held, sizes, self._seed)
        self._more = [(ReusedPairs.of(one), Gauge(metric, one, other, sizes, self._seed)) for one, other in draws]
        self.metric = metric
        super().__init__(is_rising(metric))
        self._say, self._records = say, records or TrialRecords(None)
        self._own = 0
        # The best run of each objective and dimension, by its settings.
        self._runs: dict[str, SweepRun] = {}
        self._best_runs: dict[tuple[str, int], tuple[str, float]] = {}

    @property
    def spent(self) -> int:
        """The number of trials that were made, on all rows and on some."""
        return self._own + (self.scout.spent if self.scout else 0)

    @functools.cached_property
    def scout(self) -> Trials | None:
        """Cheap trials on the rows of some left entities, or None if there are few rows or the budget is small.

        The share of observed pairs and the number of pairs of a left entity are the same as with all rows.
        """
        kept, most = self._kept, self.budget - self._own - _RESERVE
        if not isinstance(kept, Pairs) or not self._gauge.ranks or len(kept) < 2 * _SCOUT_ROWS or most < _RESERVE:
            return None
        rows = max(_SCOUT_ROWS, round(_SCOUT_SHARE * len(kept)))
        some = some_left(kept, self.sizes.left, rows, self._seed)
        judged = np.unique(self._held.left[some[self._held.left]])
        judged = np.random.default_rng(self._seed).permutation(judged)[:_SCOUT_QUERIES]
        held = self._held.take(np.isin(self._held.left, judged))
        say = functools.partial(_on_some, self._say, len(kept))
        if not len(held):
            return None
        part = kept.take(some[kept.left])
        return Trials(part, held, self.sizes, self.sections, self.metric, most, self._sweeps, say)

    @contextlib.contextmanager
    def at_most(self, count: int) -> Iterator[None]:
        """Limits the trials inside the block to `count`."""
        whole, self.budget = self.budget, min(self.budget, self.spent + count)
        yield
        self.budget = whole

    def dimension(self, number: int) -> int:
        """Returns the dimension of a finished trial."""
        return self._dimension(self.done[number].settings)

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

    def run(
        self,
        settings: Mapping[str, Any],
        sweeps: int | None = _SWEEPS,
        widths: tuple[int, ...] = (),
        quick: bool = False,
    ) -> Trial | None:
        """Trains with `settings` until two sweeps in a row are not better.

        Sweeps of `spectral` approach one solution, so that the last is the best. It is the only one that is measured.

        Args:
          settings: values by dotted key. Repeated settings are not trained again.
          sweeps: the maximum number of sweeps. None trains as a pipeline file with these settings.
          widths: smaller dimensions to measure too, where the first columns of a wider solution are the narrower one.
          quick: measures only the last sweep. A later run of the same settings continues from it.

        Returns:
          The best trial of these, or None if the budget is spent.
        """
        sweeps = self._sweeps or sweeps
        for trial in self.done:
            if trial.settings == settings and (trial.settled or sweeps is None or trial.sweeps >= sweeps):
                return trial
        if self.exhausted:
            return None
        self._own += 1
        key = [dict(settings), sweeps, list(widths), quick]
        measured = self._records.read(key)
        if measured is None:
            with one_blas_thread() if len(self._kept) < _SMALL else contextlib.nullcontext():
                measured = self._made(settings, sweeps, widths, quick)
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
        self, settings: Mapping[str, Any], sweeps: int | None, widths: tuple[int, ...], quick: bool
    ) -> list[Measured]:
        sections = with_values(self.sections, settings)
        model, train = ModelSettings.model_validate(sections["model"]), TrainSettings.model_validate(sections["train"])
        since = time.monotonic()
        try:
            memory.check(self.sizes, model, train)
            if not has_solver(model.objective, train.optimizer):
                return [self._descended(settings, model, train)]
            if not isinstance(self._kept, Pairs):
                raise TrainingTooLarge("train.data_memory_mb: the solver holds all pairs in memory. Raise it")
            return self._swept(self._kept, settings, model, train, sweeps, widths, quick)
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
    ) -> list[Measured]:
        fixed = quick or bool(self._sweeps) or (sweeps is None and train.early_stopping is None)
        key = json.dumps([dict(settings), widths], sort_keys=True)
        run = self._runs.get(key)
        if run is None:
            solvers = [solver_of(part, self.sizes, model, train) for part in (kept, *(part for part, _ in self._more))]
            every = (*widths, model.dimension)
            measure = functools.partial(self._measured, log_odds=model.log_odds)
            done = 0 if widths or (sweeps or ENOUGH_SWEEPS) < ENOUGH_SWEEPS else self._warmed(solvers, model)
            run = SweepRun(solvers, settings, every, self.rising, measure, self._gauge.ranks, done)
        measured = run.sweep(sweeps or train.epochs, fixed or model.objective == "spectral")
        self._remember(key, run, model, max(self.gain(trial) for trial, _ in measured))
        return measured

    @property
    def _gauges(self) -> list[Gauge]:
        return [self._gauge, *(gauge for _, gauge in self._more)]

    def _measured(self, solvers: Sequence[Solver], width: int, log_odds: float) -> tuple[Figure, float | None]:
        """Returns the mean figure and zero point of the draws."""
        of = zip(self._gauges, solvers, strict=True)
        return averaged([gauge.of_solver(solver, width, log_odds) for gauge, solver in of])

    def _warmed(self, solvers: Sequence[Solver], model: ModelSettings) -> int:
        """Starts `spectral` from the directions of another exponent. Returns how many sweeps that is worth."""
        known = self._best_runs.get((model.objective, model.dimension))
        if model.objective != "spectral" or known is None or not self._runs[known[0]].tables:
            return 0
        for solver, tables in zip(solvers, self._runs[known[0]].tables, strict=True):
            solver.start_from(tables)
        return ENOUGH_SWEEPS - _WARM_SWEEPS

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
        half = self._dimension(settings) // 2
        parts = [self._tables(ials, self._dimension(settings) - half), self._tables(spectral, half)]
        if not all(parts) or self.exhausted:
            return self.run(settings, sweeps)
        self._own += 1
        since = time.monotonic()
        assert isinstance(self._kept, Pairs)
        some = [sample_of(kept, self._seed) for kept in (self._kept, *(kept for kept, _ in self._more))]
        sums = [blended(*tables) for tables in zip(*parts, some, strict=True)]
        figure, zero = averaged([gauge.of_tables(*one) for gauge, one in zip(self._gauges, sums, strict=True)])
        seconds = round(time.monotonic() - since, 2)
        self._add(Trial(settings, figure.value, ials.epochs, seconds, ials.sweeps, zero), figure)
        return self.done[-1]

    def _tables(self, trial: Trial, width: int) -> list[list[np.ndarray]]:
        """Returns tables of `width` columns of each draw with the settings of a trial, if a run has them, or nothing.

        The first columns of a wider `spectral` are those of a narrower one.
        """
        of = {**trial.settings, "model.dimension": 0}
        for run in self._runs.values():
            wide = self._dimension(run.settings)
            if {**run.settings, "model.dimension": 0} == of and (
                wide == width or (wide > width and of.get("model.objective") == "spectral")
            ):
                return [[table[:, :width] for table in tables] for tables in run.tables]
        return []

    def _dimension(self, settings: Mapping[str, Any]) -> int:
        return int(settings.get("model.dimension", self.sections["model"]["dimension"]))


def some_left(pairs: Pairs, left: int, rows: int, seed: int) -> np.ndarray:
    """Returns which of `left` entities are in a random sample with about `rows` pairs, bool `[left]`.

    The share of observed pairs stays the same.
    """
    counts = np.bincount(pairs.left, minlength=left)
    order = np.random.default_rng(seed).permutation(len(counts))
    chosen = np.zeros(len(counts), bool)
    chosen[order[: int(np.searchsorted(np.cumsum(counts[order]), rows)) + 1]] = True
    return chosen


def _on_some(say: Callable[[str], object], rows: int, line: str) -> None:
    say(f"on some of {rows:,} rows, {line}")
