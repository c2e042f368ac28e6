"""What is tried for pairs without scores: `ials`, `spectral`, and their sum."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from trainer.least_squares.spectral import ENOUGH_SWEEPS
from trainer.search.climb import climb
from trainer.search.plans import Plan, rounded
from trainer.search.records import Trial
from trainer.search.sweeps import Affords, Limits
from trainer.search.trials import Trials

# Tables of more bytes than this are no default, because serving reads all of them for each ranking.
_MOST_BYTES = 512 << 20
_DIMENSIONS = (64, 128, 256)
# Penalties are compared with a smaller dimension, because it costs less.
_EXPLORED = 32
_EXPONENTS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7)
_FIRST_EXPONENT = 0.3
# Another exponent must be better by this share. A small dimension prefers smaller exponents than a large one.
_CLEARLY = 0.03
# Half steps. Coarse moves take two.
_PENALTIES = (
    0.0003, 0.0005, 0.001, 0.0018, 0.003, 0.0055, 0.01, 0.018, 0.03, 0.055, 0.1, 0.18, 0.3, 0.55, 1.0, 1.8, 3.0
)  # fmt: skip
_FIRST_PENALTY = 0.01
# The weight of unobserved pairs, divided by the share of observed pairs: how much all of them count, relative to the
# observed ones.
_UNOBSERVED = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0)
_FIRST_UNOBSERVED = 4.0
# Sweeps that rank settings of `ials` and exponents of `spectral`, and sweeps of settings that may win.
_FEW, _FEW_OF_SPECTRAL, _MANY = 2, 3, 16
# Sweeps of the best settings that show that more are of no use.
_MORE = 2
# A larger dimension must be better by this share. To try the next one, the last step must have brought more, because
# each step brings less than the one before.
_WORTHWHILE, _PROMISING = 0.01, 0.03
# A sweep must be better by this share.
_SWEEP_WORTHWHILE = 0.005


def positives(trials: Trials, plan: Plan) -> None:
    """Tries objectives of least squares for pairs without scores.

    Cheap trials come first: penalties and exponents at small dimensions, with few sweeps. Then the dimension of `ials`
    grows while that is worth it, and the best settings get all sweeps. The sum of both models needs only their tables.
    """
    course = _Course(trials, plan)
    widths = course.widths
    ials = course.penalties() if {"ials", "blend"} & {*course.objectives} else None
    spectral = course.exponent() if {"spectral", "blend"} & {*course.objectives} else None
    ials = ials and course.dimension(ials)
    if spectral and not ials and len(widths) > 1:
        # One decomposition measures all dimensions.
        trials.run({**spectral.settings, "model.dimension": widths[-1]}, ENOUGH_SWEEPS, tuple(widths[:-1]))
    elif spectral:
        width = ials.settings["model.dimension"] if ials else widths[0]
        spectral = trials.run({**spectral.settings, "model.dimension": width}, ENOUGH_SWEEPS)
    if "blend" in course.objectives and spectral and ials:
        course.blend(ials, spectral)


@dataclasses.dataclass(frozen=True)
class _Course:
    """The steps of a search, each within what the search can afford."""

    trials: Trials
    plan: Plan

    @property
    def objectives(self) -> Sequence[str]:
        return self.plan.values("model.objective", ("spectral", "ials", "blend"))

    @property
    def _explored(self) -> int:
        return _EXPLORED if "model.dimension" in self.plan.keys else self.widths[0]

    @property
    def widths(self) -> Sequence[int]:
        return self._affordable(self.plan.values("model.dimension", _DIMENSIONS))

    def exponent(self) -> Trial | None:
        """Finds the exponent of `spectral` with the smallest dimension."""
        settings = {**self.plan.others, "model.objective": "spectral", "model.dimension": self.widths[0]}
        axes = {"model.popularity_exponent": self.plan.values("model.popularity_exponent", _EXPONENTS)}
        start = {"model.popularity_exponent": _FIRST_EXPONENT}
        return climb(self.trials, settings, axes, start, _FEW_OF_SPECTRAL, self._affords, margin=_CLEARLY)

    def penalties(self) -> Trial | None:
        """Finds the penalties of `ials` with a small dimension."""
        weights = [rounded(factor * self.trials.density) for factor in _UNOBSERVED]
        axes = {
            "model.regularization": self.plan.values("model.regularization", _PENALTIES),
            "model.unobserved_weight": self.plan.values("model.unobserved_weight", weights),
        }
        start = {
            "model.regularization": _FIRST_PENALTY,
            "model.unobserved_weight": weights[_UNOBSERVED.index(_FIRST_UNOBSERVED)],
        }
        settings = {**self.plan.others, "model.objective": "ials", "model.dimension": self._explored}
        return climb(self.trials, settings, axes, start, _FEW, self._affords, strides=(2, 1))

    def dimension(self, first: Trial) -> Trial | None:
        """Finds the dimension of `ials`. The best settings get all sweeps."""
        best = self._wider(first)
        if best is None:
            return None
        if best.settings["model.dimension"] != self.widths[0]:
            best = self._less_regularized(best, self.plan.values("model.regularization", _PENALTIES))
        return self.trials.run(best.settings, _MANY, limits=Limits(_SWEEP_WORTHWHILE, self._affords_sweeps(best)))

    def _wider(self, best: Trial) -> Trial | None:
        """Moves to larger dimensions while that is worth it, at least to the smallest of the default ones."""
        first: Trial | None = best
        if best.settings["model.dimension"] != self.widths[0]:
            first = self.trials.run({**best.settings, "model.dimension": self.widths[0]}, _FEW, quick=True)
        if first is None:
            return None
        best = first
        for width in self.widths[1:]:
            settings = {**best.settings, "model.dimension": width}
            wider = self.trials.run(settings, _FEW, quick=True) if self._affords(settings) else None
            if wider is None or self.trials.gain(wider) < (1 + _WORTHWHILE) * self.trials.gain(best):
                break
            enough = self.trials.gain(wider) < (1 + _PROMISING) * self.trials.gain(best)
            best = wider
            if enough:
                break
        return best

    def _less_regularized(self, best: Trial, penalties: Sequence[Any]) -> Trial:
        """Moves to smaller penalties while they are better, because a larger dimension needs less."""
        for penalty in penalties[: list(penalties).index(best.settings["model.regularization"])][::-1]:
            settings = {**best.settings, "model.regularization": penalty}
            other = self.trials.run(settings, _FEW, quick=True) if self._affords(settings) else None
            if other is None or self.trials.gain(other) <= self.trials.gain(best):
                break
            best = other
        return best

    def blend(self, ials: Trial, spectral: Trial) -> None:
        """Tries the sum of the best models of both kinds. Each has half of the dimensions.

        The sum of as many dimensions again as the best of `ials` needs no training. Half of them are tried if that is
        the best so far, unless a smaller `ials` was worse: then halves of both are worse too.
        """
        settings = {**spectral.settings, **ials.settings, "model.objective": "blend"}
        width = ials.settings["model.dimension"]
        totals = self._affordable(self.plan.values("model.dimension", (width, 2 * width)))
        for total in reversed(totals if width == _DIMENSIONS[0] else totals[-1:]):
            half = total - total // 2
            part: Trial | None = ials
            if half != width:
                narrow = {**ials.settings, "model.dimension": half}
                needed = total == totals[-1]
                part = self.trials.run(narrow, _MANY) if needed or self._affords(narrow, _MANY) else None
            both = part and self.trials.blend({**settings, "model.dimension": total}, part, spectral, _MANY)
            if both is None or both is not self.trials.best():
                break

    def _affordable(self, widths: Sequence[int]) -> Sequence[int]:
        """Returns the dimensions whose tables are not too large, at least the first."""
        rows = self.trials.sizes.left + self.trials.sizes.right
        return [width for width in widths if width == widths[0] or rows * width * 4 <= _MOST_BYTES]

    def _affords(self, settings: Mapping[str, Any], sweeps: int | None = None) -> bool:
        """Returns whether a trial and those that must follow fit in the bound, if its model would be the choice."""
        objective, width = settings["model.objective"], self.trials.dimension_of(settings)
        sweeps = self.trials.most(sweeps or (_FEW if objective == "ials" else _FEW_OF_SPECTRAL))
        cost, least = self._cost(objective, width, sweeps), max(width, self.widths[0])
        if self._fits(cost + self._rest(objective, width), least, _FEW + 1):
            return True
        # Trials with a small dimension may expect that the next one is better. Most often it is.
        next_one = self._next(least)
        if next_one == least:
            return False
        step = self._cost("ials", next_one, _FEW) - self._after(least) + self._after(next_one)
        return self._fits(cost + self._rest(objective, width) + step, next_one, _FEW + 1)

    def _next(self, width: int) -> int:
        """Returns the second of the default dimensions for the first, otherwise the same."""
        return self.widths[1] if width == self.widths[0] and len(self.widths) > 1 else width

    def _cost(self, objective: str, width: int, sweeps: int) -> float:
        costs = self.trials.work.costs(objective, (width,))
        return costs.start + sweeps * costs.sweep + costs.measure

    def _affords_sweeps(self, best: Trial) -> Affords:
        """Returns whether more sweeps of the best settings fit in the bound, by the best number of sweeps so far."""
        width = self.trials.dimension_of(best.settings)
        last = self._last(width)

        def affords(epochs: int, done: int) -> bool:
            cost = self.trials.work.sweep("ials", width) + self.trials.work.ranking(width)
            return self._fits((done + 1 - _FEW) * cost + last, width, epochs)

        return affords

    def _fits(self, cost: float, width: int, sweeps: int) -> bool:
        return self.trials.worked + cost <= self.plan.times * self._training(width, sweeps)

    def _training(self, width: int, sweeps: int) -> float:
        work = self.trials.work
        if "blend" in self.objectives:
            return work.training("blend", 2 * width, sweeps)
        return max(
            work.training(name, width, ENOUGH_SWEEPS if name == "spectral" else sweeps) for name in self.objectives
        )

    def _more(self, width: int) -> float:
        return _MORE * (self.trials.work.sweep("ials", width) + self.trials.work.ranking(width))

    def _rest(self, objective: str, width: int) -> float:
        """Returns the work of the trials that must follow one of `objective` and `width`."""
        least, rest = max(width, self.widths[0]), 0.0
        if {"ials", "blend"} & {*self.objectives}:
            rest += self._cost("ials", least, _FEW) if width < least or objective == "spectral" else 0.0
        if "blend" in self.objectives and width < least:
            rest += self._cost("spectral", least, _FEW_OF_SPECTRAL)
        return rest + self._after(least)

    def _after(self, width: int) -> float:
        """Returns the work of the trials that must follow the choice of a dimension."""
        return self._last(width) + (self._more(width) if {"ials", "blend"} & {*self.objectives} else 0.0)

    def _last(self, width: int) -> float:
        """Returns the work of the trials of the sum."""
        if "blend" not in self.objectives:
            return 0.0
        return self._cost("spectral", width, ENOUGH_SWEEPS) + self.trials.work.ranking(2 * width)
