"""Predicts the work of trainings and rankings from the shape of the data, so that a search knows what it can afford.

The unit is a second of a typical core. A prediction depends only on the data and the settings, never on the clock. So
the same search makes the same trials on every machine, under every load.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from trainer.data.pairs import TrainingPairs
from trainer.least_squares.spectral import ENOUGH_SWEEPS, OVERSAMPLING
from trainer.model.table_sizes import TableSizes

# Seconds of a core for a number of each part. They were fitted to two data sets with dimensions of 32 to 256, and are
# right within a factor of 2.
_PRODUCT, _SYSTEM, _NUMBER, _ENTITY = 1.5e-11, 1e-11, 7e-9, 3e-6
_SPARSE, _TALL, _EIGEN = 1.3e-9, 3.3e-10, 5e-9
_SCORE, _SCORE_OF_NUMBER = 1.7e-9, 2.6e-11
_MOMENT = 1.3e-9
# A training also builds its tables and reads them back. A trial prepares and reports.
_FIXED, _TRIAL = 1.2, 0.03


@dataclasses.dataclass(frozen=True)
class Costs:
    """The predicted work of the steps of a trial, in seconds of a core: before its first sweep, a sweep, a measure."""

    start: float
    sweep: float
    measure: float


class Work:
    """The work of a search.

    Args:
      kept: the rows that trials train on.
      sizes: the sizes of the embedding tables.
      queries: the number of left entities whose rankings measure a trial, or 0 if predicted labels do.
      share: how many times more rows the final training has.
    """

    def __init__(self, kept: TrainingPairs, sizes: TableSizes, queries: int, share: float = 1.0) -> None:
        counts = [count[count > 0].astype(np.float64) for count in kept.occurrences(sizes.entities)]
        # The systems of entities with equally many pairs cost the same.
        self._of_counts = [np.unique(count, return_counts=True) for count in counts]
        self._rows, self._entities = len(kept), sum(map(len, counts))
        self._scores = queries * sizes.right
        self._share = share

    def sweep(self, objective: str, width: int) -> float:
        """Returns the seconds of a sweep of the solver of an objective with vectors of `width` numbers."""
        if objective == "ials":
            return self._ials(width)
        if objective == "spectral":
            return self._subspace(width + OVERSAMPLING, 2)
        return _MOMENT * self._rows * (width + 1) ** 2

    def start(self, objective: str, width: int) -> float:
        """Returns the seconds before the first sweep."""
        if objective == "ials":
            return self._subspace(width, 4)
        return self._subspace(width + OVERSAMPLING, 1) if objective == "spectral" else 0.0

    def costs(self, objective: str, widths: Sequence[int], copies: int = 1) -> Costs:
        """Returns the work of a trial whose vectors have as many numbers as the last of `widths`. All are measured."""
        width = -(-widths[-1] // copies)
        steps = _TRIAL + self.start(objective, width), copies * self.sweep(objective, width)
        return Costs(*steps, sum(map(self.ranking, widths)))

    def ranking(self, width: int) -> float:
        """Returns the seconds of measuring vectors of `width` numbers."""
        return self._scores * (_SCORE + _SCORE_OF_NUMBER * width)

    def training(self, objective: str, width: int, sweeps: int, copies: int = 1) -> float:
        """Returns the seconds of the final training.

        Args:
          objective: one with a solver.
          width: the numbers of a vector, of all copies together.
          sweeps: the number of sweeps.
          copies: how many solutions are averaged.
        """
        parts = [(objective, -(-width // copies), sweeps * copies)]
        if objective == "blend":
            parts = [("ials", width - width // 2, sweeps), ("spectral", width // 2, ENOUGH_SWEEPS)]
        return _FIXED + self._share * sum(self.start(name, d) + n * self.sweep(name, d) for name, d, n in parts)

    def _ials(self, width: int) -> float:
        seconds = _ENTITY * self._entities
        for count, entities in self._of_counts:
            order = np.minimum(count, width)
            seconds += float(entities @ (count * width * (_PRODUCT * order + _NUMBER) + _SYSTEM * order**3))
        return seconds

    def _subspace(self, width: int, products: int) -> float:
        return products * _SPARSE * self._rows * width + width**2 * (_TALL * self._entities + _EIGEN * width)
