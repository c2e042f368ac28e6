"""Which of several trials are better, with regard to the noise of their measures."""

from __future__ import annotations

import math
from collections.abc import Iterable

from trainer.search.measures import Figure, within_noise
from trainer.search.records import Trial

# The NDCG of all ranks differs less between models than a metric of the first ranks: by about this share of it.
_SMOOTHER = 0.25
# Within noise, a trial must have a better smooth metric by this share. So the search stays near its first guess.
_CLEARLY = 0.002


class Standings:
    """Finished trials and their figures on the same held-out rows.

    A difference of the metric that is within its standard error says little. Then the smooth metric decides, if there
    is one. So luck chooses no settings.

    Attributes:
      done: the trials, in order.
      figures: the figure of each trial, or None if it failed.
      rising: whether larger values of the metric are better.
    """

    def __init__(self, rising: bool) -> None:
        self.rising = rising
        self.done: list[Trial] = []
        self.figures: list[Figure | None] = []

    def gain(self, trial: Trial) -> float:
        """Returns the value of a trial such that larger is better, -inf without a finite value."""
        if trial.value is None or not math.isfinite(trial.value):
            return -math.inf
        return trial.value if self.rising else -trial.value

    def best(self) -> Trial:
        """Returns the best trial. An earlier one wins a tie."""
        return self.done[self.best_of(range(len(self.done)))]

    def best_of(self, numbers: Iterable[int]) -> int:
        """Returns the number of the best of some trials. Of those within noise of it, the best by the smooth metric."""
        numbers = list(numbers)
        top = max(numbers, key=lambda number: self.gain(self.done[number]))
        near = [number for number in numbers if number == top or self.within_noise(number, top)]
        return max(near, key=lambda number: (self._smooth(number), number == top))

    def within_noise(self, one: int, other: int) -> bool:
        """Whether the metric of two trials, by number, differs by at most its standard error."""
        figures = self.figures[one], self.figures[other]
        return figures[0] is not None and figures[1] is not None and within_noise(figures[0], figures[1])

    def is_better(self, one: Trial, other: Trial, share: float = 0.0) -> bool:
        """Whether a trial is better than another one. The smooth metric decides if the other one does within noise.

        Args:
          one: a trial.
          other: a trial.
          share: the least improvement.
        """
        first, second = (next(n for n, trial in enumerate(self.done) if trial is of) for of in (one, other))
        if self.within_noise(first, second):
            return self._smooth(first) > self._smooth(second) * (1 + max(share * _SMOOTHER, _CLEARLY))
        return self.gain(one) > self.gain(other) + share * abs(self.gain(other))

    def is_about_as_good(self, one: int, other: int, share: float) -> bool:
        """Whether a trial is worse than another one, by number, by at most a share. Both metrics must agree."""
        gains = [self.gain(self.done[number]) for number in (one, other)]
        least = gains[1] - share * abs(gains[1]) if math.isfinite(gains[1]) else gains[1]
        if self.within_noise(one, other):
            return self._smooth(one) >= self._smooth(other) * (1 - share * _SMOOTHER)
        return gains[0] >= least

    def _smooth(self, number: int) -> float:
        figure = self.figures[number]
        return 0.0 if figure is None or figure.smooth is None else figure.smooth
