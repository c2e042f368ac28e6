"""A trial of least squares in progress: its solver, and the measures of its sweeps."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from trainer.search.measures import Figure
from trainer.search.records import PATIENCE, Measured, Trial
from trainer.training.alternation import Solver

# Returns the figure and the zero point of tables, biases and offset of a solver, cut to a dimension.
Measure = Callable[[Solver, int], tuple[Figure, "float | None"]]


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
    """

    def __init__(
        self,
        solver: Solver,
        settings: Mapping[str, Any],
        widths: tuple[int, ...],
        rising: bool,
        measure: Measure,
        keeps_tables: bool,
    ) -> None:
        self._solver, self.settings, self._rising, self._measure = solver, settings, rising, measure
        self._of = {width: _Width() for width in widths}
        self._seconds = 0.0
        self._keeps_tables = keeps_tables
        self.done = 0
        self.tables: list[np.ndarray] = []

    def sweep(self, most: int, last_only: bool) -> list[Measured]:
        """Sweeps until `most` are done, or `PATIENCE` in a row are not better.

        Args:
          most: the maximum number of sweeps.
          last_only: measures only the last sweep, and does not stop earlier.

        Returns:
          The trial of each dimension.
        """
        since = time.monotonic()
        while self.done < most and (last_only or not self.is_over):
            self._solver.sweep()
            self.done += 1
            if self.done == most or not last_only:
                self._measure_all()
        self._seconds += time.monotonic() - since
        return [self._trial(width) for width in self._of]

    @property
    def is_over(self) -> bool:
        """Whether the last sweeps of every dimension were not better."""
        return all(bool(of.figures) and self.done - of.sweeps[self._best(of)] >= PATIENCE for of in self._of.values())

    def _measure_all(self) -> None:
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

    def _trial(self, width: int) -> Measured:
        of = self._of[width]
        at = self._best(of)
        wide = {**self.settings, "model.dimension": width} if len(self._of) > 1 else self.settings
        seconds = round(self._seconds / len(self._of), 2)
        return Trial(wide, of.figures[at].value, of.sweeps[at], seconds, self.done, of.zeros[at]), of.figures[at]
