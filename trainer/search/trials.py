"""Trials of settings on the same training rows, measured on the same held-out rows."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
from absl import logging

from errors import TrainingTooLarge
from trainer.data.pairs import Pairs
from trainer.judge import Judge
from trainer.least_squares.alternation import Solver, solver_of
from trainer.model.table_sizes import TableSizes
from trainer.settings import RMSE, ModelSettings, TrainSettings, with_values
from trainer.training import calibration, memory

_SWEEPS = 16
_PATIENCE = 2


@dataclasses.dataclass(frozen=True)
class Trial:
    """One setting and its measure.

    Attributes:
      settings: the values of the searched keys, by dotted key.
      value: the metric of the best sweep on the held-out rows, or None if the settings could not be tried.
      epochs: the number of the best sweep.
      seconds: the duration of the trial.
      sweeps: how many sweeps were measured.
      zero_point: the score that separates held-out positives from random pairs. None for labels.
      fault: why the settings could not be tried.
    """

    settings: Mapping[str, Any]
    value: float | None
    epochs: int
    seconds: float
    sweeps: int
    zero_point: float | None = None
    fault: str | None = None

    @property
    def settled(self) -> bool:
        """Whether more sweeps would be of no use, because the last ones were not better."""
        return self.sweeps - self.epochs >= _PATIENCE or self.value is None


class Trials:
    """Trains with settings on some rows and measures them on others.

    Args:
      kept: the rows to train on.
      held: the rows to measure on.
      sizes: the sizes of the embedding tables.
      sections: `model` and `train` of the pipeline file, as JSON. Trials replace the searched keys.
      metric: the metric of the first blessing rule: `rmse`, or a ranking metric.
      budget: the maximum number of trials.
      sweeps: the number of sweeps of every trial, or None to find the best number.
    """

    def __init__(
        self,
        kept: Pairs,
        held: Pairs,
        sizes: TableSizes,
        sections: Mapping[str, Any],
        metric: str,
        budget: int,
        sweeps: int | None = None,
    ) -> None:
        self._kept, self._held, self.sizes = kept, held, sizes
        self._sections, self._budget, self._sweeps = sections, budget, sweeps
        self._seed = TrainSettings.model_validate(sections["train"]).seed
        self._judge = None if metric == RMSE else Judge(metric, kept, held, sizes.entities, sizes.shared, self._seed)
        self.metric = metric
        self.done: list[Trial] = []
        self._spent = 0

    @property
    def rows(self) -> tuple[int, int]:
        """The numbers of rows to train on and to measure on."""
        return len(self._kept), len(self._held)

    @property
    def density(self) -> float:
        """The share of all pairs of entities that are training rows."""
        left, right = (int((counts > 0).sum()) for counts in self._kept.occurrences(self.sizes.entities))
        return len(self._kept) / (left * right)

    @property
    def exhausted(self) -> bool:
        """Whether the budget is spent."""
        return self._spent >= self._budget

    def gain(self, trial: Trial) -> float:
        """Returns the value of a trial such that larger is better, -inf without a finite value."""
        if trial.value is None or not math.isfinite(trial.value):
            return -math.inf
        return trial.value if self._judge else -trial.value

    def best(self) -> Trial:
        """Returns the best trial. An earlier one wins a tie."""
        return max(self.done, key=self.gain)

    def run(self, settings: Mapping[str, Any], sweeps: int = _SWEEPS, widths: tuple[int, ...] = ()) -> Trial | None:
        """Trains with `settings` until `_PATIENCE` sweeps in a row are not better.

        Sweeps of `spectral` approach one solution, so that the last is the best. It is the only one that is measured.

        Args:
          settings: values by dotted key. Repeated settings are not trained again.
          sweeps: the maximum number of sweeps.
          widths: smaller dimensions to measure too, where the first columns of a wider solution are the narrower one.

        Returns:
          The best trial of these, or None if the budget is spent.
        """
        sweeps = self._sweeps or sweeps
        for trial in self.done:
            if trial.settings == settings and (trial.settled or trial.sweeps >= sweeps):
                return trial
        if self.exhausted:
            return None
        self._spent += 1
        model, train = self._settings(settings)
        try:
            memory.check(self.sizes, model, train)
        except TrainingTooLarge as error:
            self.done.append(Trial(settings, None, 0, 0.0, 0, fault=str(error)))
            return self.done[-1]
        since = time.monotonic()
        solver = solver_of(self._kept, self.sizes, model, train.als, self._seed)
        every = (*widths, model.dimension)
        values: dict[int, list[float]] = {width: [] for width in every}
        zeros: dict[int, list[float | None]] = {width: [] for width in every}
        done = 0
        while done < sweeps and not all(map(self._over, values.values())):
            solver.sweep()
            done += 1
            if model.objective == "spectral" and done < sweeps:
                continue
            for width in every:
                value, zero = self._measure(solver, width)
                values[width].append(value)
                zeros[width].append(zero)
        seconds = (time.monotonic() - since) / len(every)
        found = []
        for width in every:
            at = self._best_sweep(values[width])
            wide = {**settings, "model.dimension": width} if widths else settings
            epochs = done - len(values[width]) + at + 1
            found.append(Trial(wide, values[width][at], epochs, round(seconds, 2), done, zeros[width][at]))
            logging.info("trial %s: %s %.5f after %d sweeps", wide, self.metric, values[width][at], epochs)
        self.done += found
        return max(found, key=self.gain)

    def _settings(self, settings: Mapping[str, Any]) -> tuple[ModelSettings, TrainSettings]:
        sections = with_values(self._sections, settings)
        return ModelSettings.model_validate(sections["model"]), TrainSettings.model_validate(sections["train"])

    def _measure(self, solver: Solver, width: int) -> tuple[float, float | None]:
        if self._judge is None:
            return solver.measure(self._held)[RMSE], None
        left, right = (table[:, :width] for table in solver.tables)
        return self._judge.mean(left, right), self._zero_point(left, right)

    def _zero_point(self, left: np.ndarray, right: np.ndarray) -> float:
        some = next(self._held.shuffled(np.random.default_rng(self._seed), calibration.PAIRS))
        observed, random = calibration.random_pairs(some.left, some.right, self._seed)
        of_observed, of_random = (
            np.einsum("nd,nd->n", left[rows], right[columns]) for rows, columns in (observed, random)
        )
        return calibration.zero_point(of_observed, of_random, some.weight)

    def _over(self, values: list[float]) -> bool:
        return self._sweeps is None and bool(values) and len(values) - 1 - self._best_sweep(values) >= _PATIENCE

    def _best_sweep(self, values: list[float]) -> int:
        if self._sweeps:
            return len(values) - 1
        return int(np.argmax(values) if self._judge else np.argmin(values))
