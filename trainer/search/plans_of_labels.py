"""What is tried for pairs with scores: least squares of labels, or of log odds."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from trainer.search.climb import climb
from trainer.search.plans import Plan, rounded
from trainer.search.records import Trial
from trainer.search.trials import Trials
from trainer.settings import LOG_LOSS

_WIDTHS = (8, 16, 32, 64)
_FIRST_WIDTH = 16
# Times the standard deviation of the labels.
_RIDGES = (3.0, 10.0)
_IMPLICIT = (2.0, 5.0, 15.0, None)
_FIRST_IMPLICIT = 5.0
_COPIES = 4
# Sweeps that rank settings, and sweeps of settings that may win.
_SOME, _MANY = 6, 16
# A larger ridge must be better by this share to try the next one.
_PROMISING = 0.005
# The largest dimension of an average of several solutions.
_MOST_AVERAGED = 128


def ratings(trials: Trials, plan: Plan) -> None:
    """Tries least squares for pairs with scores. With two scores, also tries to learn log odds."""
    if trials.metric != LOG_LOSS:
        _Course(trials, plan, {}).follow()
        return
    first, *others = plan.values("model.objective", ("logistic", "regression"))
    _Course(trials, plan, {"model.objective": first}).follow()
    best = trials.best()
    for objective in others:
        # The best settings of the first objective already show whether another one can be better.
        other = trials.run({**best.settings, "model.objective": objective}, _MANY)
        if other and trials.gain(other) > trials.gain(best):
            _Course(trials, plan, {"model.objective": objective}).follow()


@dataclasses.dataclass(frozen=True)
class _Course:
    """The steps of a search with one objective of labels, each within what the search can afford."""

    trials: Trials
    plan: Plan
    objective: Mapping[str, Any]

    def follow(self) -> None:
        """Tries dimensions, penalties and averages."""
        trials, plan = self.trials, self.plan
        one = {
            **plan.others,
            **self.objective,
            "train.optimizer": "als",
            "train.als.copies": plan.values("train.als.copies", (1,))[0],
        }
        # The strength of a ridge is in the unit of labels. Log odds have none.
        unit = 1.0 if trials.metric == LOG_LOSS else trials.deviation
        ridges = plan.values("train.als.ridge", [None, *(rounded(ridge * unit) for ridge in _RIDGES)])
        widths = plan.values("model.dimension", _WIDTHS)
        width = _FIRST_WIDTH if _FIRST_WIDTH in widths else widths[0]
        one |= {"model.dimension": width, "train.als.ridge": ridges[0]}
        axes = {"train.als.implicit": plan.values("train.als.implicit", _IMPLICIT)}
        start = {"train.als.implicit": _FIRST_IMPLICIT}
        best = climb(trials, one, axes, start, _SOME, lambda settings: self._affords(settings, _SOME))
        best = best and trials.run(best.settings, _MANY)
        best = best and self._dimensioned(best, widths)
        best = best and self._ridged(best, ridges)
        if best and "train.als.copies" in plan.keys:
            width = best.settings["model.dimension"] * (_COPIES if "model.dimension" in plan.keys else 1)
            averaged = {**best.settings, "train.als.copies": min(_COPIES, width), "model.dimension": width}
            # Averages help small models most, and by little. So they must fit in the bound even if they lose.
            small = width <= _MOST_AVERAGED or "model.dimension" not in plan.keys
            if small and self._affords(averaged, _MANY, best.epochs, best.settings):
                trials.run(averaged, _MANY)

    def _dimensioned(self, best: Trial, widths: Sequence[int]) -> Trial:
        """Moves to larger dimensions while they are better, otherwise to smaller ones.

        Each gets all sweeps, because a large dimension needs fewer of them to be good.
        """
        at = list(widths).index(best.settings["model.dimension"])
        for others in (widths[at + 1 :], widths[:at][::-1]):
            before = best
            for width in others:
                better = self._better({**best.settings, "model.dimension": width}, best)
                if better is None:
                    break
                best = better
            if best is not before:
                break
        return best

    def _ridged(self, best: Trial, ridges: Sequence[Any]) -> Trial:
        """Tries larger ridges while they are better. Each gets all sweeps, because a large ridge needs more of them."""
        for ridge in ridges[1:]:
            better = self._better({**best.settings, "train.als.ridge": ridge}, best)
            if better is None:
                break
            enough = self.trials.gain(better) - self.trials.gain(best) < _PROMISING * abs(self.trials.gain(best))
            best = better
            if enough:
                break
        return best

    def _better(self, settings: Mapping[str, Any], best: Trial) -> Trial | None:
        """Runs all sweeps of settings if the search can afford them. Returns the trial if it is better than `best`."""
        other = self.trials.run(settings, _MANY) if self._affords(settings, _MANY, best.epochs) else None
        return other if other and self.trials.gain(other) > self.trials.gain(best) else None

    def _affords(
        self,
        settings: Mapping[str, Any],
        sweeps: int,
        epochs: int = _MANY,
        choice: Mapping[str, Any] | None = None,
    ) -> bool:
        """Returns whether a trial fits in the bound, if `choice` is trained for `epochs` epochs, or else its model."""
        cost = self._training(settings, self.trials.most(sweeps))
        return self.trials.worked + cost <= self.plan.times * self._training(choice or settings, epochs)

    def _training(self, settings: Mapping[str, Any], sweeps: int) -> float:
        width, copies = self.trials.dimension_of(settings), settings["train.als.copies"]
        return self.trials.work.training("regression", width, sweeps, copies)
