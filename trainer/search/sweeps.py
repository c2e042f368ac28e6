"""A trial of least squares in progress: its solver, and the measures of its sweeps."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from trainer.search.measures import Figure
from trainer.search.records import PATIENCE, Measured, Trial
from trainer.search.work import Costs
from trainer.training.alternation import Solver

# Takes the best number of sweeps so far and the number of finished sweeps.
Affords = Callable[[int, int], bool]
# Returns the figure and the zero point of tables, biases and offset of a solver, cut to a dimension.
Measure = Callable[[Solver, int], tuple[Figure, "float | None"]]


@dataclasses.dataclass(frozen=True)
class Limits:
    """When the sweeps of a trial end early.

    Attributes:
      least: the share by which a sweep must be better than the earlier ones to count as better.
      affords: whether the search can afford one more sweep, or None if it can.
    """

    least: float = 0.0
    affords: Affords | None = None


UNLIMITED = Limits()


@dataclasses.dataclass
class _Width:
    """The measured sweeps of one dimension, and the tables of the best of them."""

    sweeps: list[int] = dataclasses.field(default_factory=list)
    figures: list[Figure] = dataclasses.field(default_factory=list)
    zeros: list[float | None] = dataclasses.field(default_factory=list)


class SweepRun:
    """Sweeps of one solver, which can continue later.

    Args:
      solver: the solver.
      settings: the values of the trial by dotted key.
      widths: the dimensions to measure, the widest last.
      rising: whether larger figures are better.
      measure: measures the solver after a sweep.
      keeps_tables: whether the tables of the best sweep are needed later.
      costs: the predicted work of its steps.
    """

    def __init__(
        self,
        solver: Solver,
        settings: Mapping[str, Any],
        widths: tuple[int, ...],
        rising: bool,
        measure: Measure,
        keeps_tables: bool,
        costs: Costs,
    ) -> None:
        self._solver, self.settings, self._rising, self._measure = solver, settings, rising, measure
        self._of = {width: _Width() for width in widths}
        self._seconds, self._costs, self._work = 0.0, costs, costs.start
        self._keeps_tables = keeps_tables
        self.done = 0
        self.tables: list[np.ndarray] = []

    def sweep(self, most: int, last_only: bool, limits: Limits = UNLIMITED) -> list[Measured]:
        """Sweeps until `most` are done, or `PATIENCE` in a row are not better.

        Args:
          most: the maximum number of sweeps.
          last_only: measures only the last sweep, and does not stop earlier.
          limits: when it stops earlier.

        Returns:
          The trial of each dimension.
        """
        since = time.monotonic()
        while self.done < most and (last_only or not self._is_over(limits.least)):
            if limits.affords and self.done and not limits.affords(self._epochs, self.done):
                break
            self._solver.sweep()
            self.done += 1
            self._work += self._costs.sweep
            if self.done == most or not last_only:
                self._measure_all()
        self._seconds += time.monotonic() - since
        work, self._work = self._work / len(self._of), 0.0
        return [self._trial(width, work) for width in self._of]

    @property
    def _epochs(self) -> int:
        """The best number of sweeps of the widest dimension so far."""
        widest = list(self._of.values())[-1]
        return widest.sweeps[self._best(widest)] if widest.sweeps else self.done

    def _is_over(self, least: float) -> bool:
        """Returns whether the last sweeps of every dimension were not better."""
        return all(bool(of.figures) and self.done - self._improved(of, least) >= PATIENCE for of in self._of.values())

    def _improved(self, of: _Width, least: float) -> int:
        """Returns the last sweep that was better than the ones before."""
        best, at = -np.inf, 0
        for sweep, figure in zip(of.sweeps, of.figures, strict=True):
            gain = figure.value if self._rising else -figure.value
            if gain > best + (abs(best) * least if at else 0.0):
                best, at = gain, sweep
        return at

    def _measure_all(self) -> None:
        self._work += self._costs.measure
        for width, of in self._of.items():
            figure, zero = self._measure(self._solver, width)
            of.sweeps.append(self.done)
            of.figures.append(figure)
            of.zeros.append(zero)
        widest = list(self._of.values())[-1]
        if self._keeps_tables and self._best(widest) == len(widest.figures) - 1:
            self.tables = [table.copy() for table in self._solver.tables]

    def _best(self, of: _Width) -> int:
        return int(np.argmax([figure.value if self._rising else -figure.value for figure in of.figures]))

    def _trial(self, width: int, work: float) -> Measured:
        of = self._of[width]
        at = self._best(of)
        wide = {**self.settings, "model.dimension": width} if len(self._of) > 1 else self.settings
        seconds = round(self._seconds / len(self._of), 2)
        value = of.figures[at].value
        trial = Trial(wide, value, of.sweeps[at], seconds, self.done, of.zeros[at], work=round(work, 4))
        return trial, of.figures[at]
