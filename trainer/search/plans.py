"""Which settings are tried, and in which order: good first guesses, then the neighbors of the best one."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from trainer.least_squares.spectral import ENOUGH_SWEEPS
from trainer.search.records import Trial
from trainer.search.space import LABEL_METRICS
from trainer.search.trials import Trials
from trainer.settings import LOG_LOSS

# Tables of more bytes than this are no default, because serving reads all of them for each ranking.
_MOST_BYTES = 512 << 20
_DIMENSIONS = (64, 128, 256)
_EXPONENTS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7)
# Half steps. Coarse moves take two.
_PENALTIES = (
    0.0003, 0.0005, 0.001, 0.0018, 0.003, 0.0055, 0.01, 0.018, 0.03, 0.055, 0.1, 0.18, 0.3, 0.55, 1.0, 1.8, 3.0
)  # fmt: skip
# The weight of unobserved pairs, divided by the share of observed pairs: how much all of them count, relative to the
# observed ones.
_UNOBSERVED = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0)
_FIRST_UNOBSERVED = 4.0
_WIDTHS = (8, 16, 32, 64)
# Times the standard deviation of the labels.
_RIDGES = (3.0, 10.0)
_IMPLICIT = (2.0, 5.0, 15.0, None)
_COPIES = 4
# Sweeps that rank settings of positives and of scores, and sweeps of settings that may win.
_FEW, _SOME, _MANY = 3, 6, 16
_FIRST_WIDTH = 16
# The largest dimension of an average of several solutions.
_MOST_AVERAGED = 128
# A larger dimension must be better by this share.
_WORTHWHILE = 0.01


@dataclasses.dataclass(frozen=True)
class Plan:
    """What the pipeline file leaves open.

    Attributes:
      keys: the dotted keys to choose.
      file: the values of the file by section, for the keys that are fixed.
      others: further values of every trial, by dotted key.
    """

    keys: Sequence[str]
    file: Mapping[str, Any]
    others: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def values(self, key: str, choices: Sequence[Any]) -> Sequence[Any]:
        """Returns `choices` of a searched key, or the value of the file."""
        if key in self.keys:
            return choices
        section, *path = key.split(".")
        value = self.file[section]
        for name in path:
            value = value[name]
        return (value,)


def follow(trials: Trials, plan: Plan) -> None:
    """Tries the plan for the kind of pairs."""
    (ratings if trials.metric in LABEL_METRICS else positives)(trials, plan)


def positives(trials: Trials, plan: Plan) -> None:
    """Tries objectives of least squares for pairs without scores."""
    widths = _affordable(plan.values("model.dimension", _DIMENSIONS), trials)
    objectives = plan.values("model.objective", ("spectral", "ials", "blend"))
    spectral = _spectral(trials, plan, widths) if {"spectral", "blend"} & {*objectives} else None
    ials = _ials(trials, plan, widths) if {"ials", "blend"} & {*objectives} else None
    if "blend" in objectives and spectral and ials:
        _blend(trials, plan, ials, spectral)


def ratings(trials: Trials, plan: Plan) -> None:
    """Tries least squares for pairs with scores. With two scores, also tries to learn log odds."""
    if trials.metric != LOG_LOSS:
        _labels(trials, plan, {})
        return
    first, *others = plan.values("model.objective", ("logistic", "regression"))
    _labels(trials, plan, {"model.objective": first})
    best = trials.best()
    for objective in others:
        # The best settings of the first objective already show whether another one can be better.
        other = trials.run({**best.settings, "model.objective": objective}, _MANY)
        if other and trials.gain(other) > trials.gain(best):
            _labels(trials, plan, {"model.objective": objective})


def _labels(trials: Trials, plan: Plan, objective: Mapping[str, Any]) -> None:
    """Tries dimensions, penalties and averages of an objective of labels."""
    widths = plan.values("model.dimension", _WIDTHS)
    one = {
        **plan.others,
        **objective,
        "train.optimizer": "als",
        "train.als.copies": plan.values("train.als.copies", (1,))[0],
    }
    # The strength of a ridge is in the unit of labels. Log odds have none.
    unit = 1.0 if trials.metric == LOG_LOSS else trials.deviation
    ridges = plan.values("train.als.ridge", [None, *(_rounded(ridge * unit) for ridge in _RIDGES)])
    one |= {"model.dimension": _nearest(_FIRST_WIDTH, widths), "train.als.ridge": ridges[0]}
    axes = {"train.als.implicit": plan.values("train.als.implicit", _IMPLICIT)}
    best = _climb(trials, one, axes, {"train.als.implicit": 5.0}, _SOME)
    best = best and trials.run(best.settings, _MANY)
    best = best and _dimensioned(trials, best, widths)
    best = best and _ridged(trials, best, ridges)
    if best and "train.als.copies" in plan.keys:
        width = best.settings["model.dimension"] * (_COPIES if "model.dimension" in plan.keys else 1)
        averaged = {**best.settings, "train.als.copies": min(_COPIES, width), "model.dimension": width}
        # Averages help small models most. Those of large ones would take most of the time of the search.
        if width <= _MOST_AVERAGED or "model.dimension" not in plan.keys:
            trials.run(averaged, _MANY)


def _dimensioned(trials: Trials, best: Trial, widths: Sequence[int]) -> Trial:
    """Moves to larger dimensions while they are better, otherwise to smaller ones.

    Each gets all sweeps, because a large dimension needs fewer of them to be good.
    """
    at = list(widths).index(best.settings["model.dimension"])
    for others in (widths[at + 1 :], widths[:at][::-1]):
        before = best
        for width in others:
            other = trials.run({**best.settings, "model.dimension": width}, _MANY)
            if other is None or trials.gain(other) <= trials.gain(best):
                break
            best = other
        if best is not before:
            break
    return best


def _ridged(trials: Trials, best: Trial, ridges: Sequence[Any]) -> Trial:
    """Tries larger ridges while they are better. Each gets all sweeps, because a large ridge needs more of them."""
    for ridge in ridges[1:]:
        other = trials.run({**best.settings, "train.als.ridge": ridge}, _MANY)
        if other is None or trials.gain(other) <= trials.gain(best):
            break
        best = other
    return best


def _nearest(width: int, widths: Sequence[int]) -> int:
    return width if width in widths else widths[0]


def _affordable(widths: Sequence[int], trials: Trials) -> Sequence[int]:
    """Returns the dimensions whose tables are not too large, at least the first."""
    rows = trials.sizes.left + trials.sizes.right
    return [width for width in widths if width == widths[0] or rows * width * 4 <= _MOST_BYTES]


def _spectral(trials: Trials, plan: Plan, widths: Sequence[int]) -> Trial | None:
    """Finds the exponent with the smallest dimension. One decomposition then measures all dimensions."""
    settings = {**plan.others, "model.objective": "spectral", "model.dimension": widths[0]}
    axes = {"model.popularity_exponent": plan.values("model.popularity_exponent", _EXPONENTS)}
    best = _climb(trials, settings, axes, {"model.popularity_exponent": 0.4}, ENOUGH_SWEEPS)
    if best is None or len(widths) == 1:
        return best
    return trials.run({**best.settings, "model.dimension": widths[-1]}, ENOUGH_SWEEPS, tuple(widths[:-1]))


def _ials(trials: Trials, plan: Plan, widths: Sequence[int]) -> Trial | None:
    """Finds penalties with the smallest dimension, then the dimension, with few sweeps. The best gets all sweeps.

    A larger dimension needs a smaller regularization, so that is tried again.
    """
    weights = [_rounded(factor * trials.density) for factor in _UNOBSERVED]
    axes = {
        "model.regularization": plan.values("model.regularization", _PENALTIES),
        "model.unobserved_weight": plan.values("model.unobserved_weight", weights),
    }
    start = {"model.regularization": 0.01, "model.unobserved_weight": weights[_UNOBSERVED.index(_FIRST_UNOBSERVED)]}
    settings = {**plan.others, "model.objective": "ials", "model.dimension": widths[0]}
    best = _climb(trials, settings, axes, start, _FEW, strides=(2, 1))
    for width in widths[1:]:
        if best is None:
            break
        wider = trials.run({**best.settings, "model.dimension": width}, _FEW, quick=True)
        if wider is None or trials.gain(wider) < (1 + _WORTHWHILE) * trials.gain(best):
            break
        best = wider
    if best and best.settings["model.dimension"] != widths[0]:
        best = _less_regularized(trials, best, axes["model.regularization"])
    return best and trials.run(best.settings, _MANY)


def _less_regularized(trials: Trials, best: Trial, penalties: Sequence[Any]) -> Trial:
    """Moves to smaller penalties while they are better."""
    for penalty in penalties[: list(penalties).index(best.settings["model.regularization"])][::-1]:
        other = trials.run({**best.settings, "model.regularization": penalty}, _FEW, quick=True)
        if other is None or trials.gain(other) <= trials.gain(best):
            break
        best = other
    return best


def _blend(trials: Trials, plan: Plan, ials: Trial, spectral: Trial) -> None:
    """Tries the sum of the best models of both kinds. Each has half of the dimensions.

    The sum of as many dimensions again as the best of `ials` needs no training. Half of them are tried if that is the
    best so far, unless a smaller `ials` was worse: then halves of both are worse too.
    """
    settings = {**spectral.settings, **ials.settings, "model.objective": "blend"}
    width = ials.settings["model.dimension"]
    totals = _affordable(plan.values("model.dimension", (width, 2 * width)), trials)
    for total in reversed(totals if width == _DIMENSIONS[0] else totals[-1:]):
        part: Trial | None = ials
        if total - total // 2 != width:
            part = trials.run({**ials.settings, "model.dimension": total - total // 2}, _MANY)
        both = part and trials.blend({**settings, "model.dimension": total}, part, spectral, _MANY)
        if both is None or both is not trials.best():
            break


def _climb(
    trials: Trials,
    settings: Mapping[str, Any],
    axes: Mapping[str, Sequence[Any]],
    start: Mapping[str, Any],
    sweeps: int,
    strides: Sequence[int] = (1,),
) -> Trial | None:
    """Moves to other values while they are better, one key at a time.

    Args:
      trials: runs the settings.
      settings: the values of all other keys.
      axes: the values of each key in order.
      start: the first values. A key starts with its first value otherwise.
      sweeps: the number of sweeps of a trial.
      strides: how many values each move takes. All keys move with the first stride, then with the next.

    Returns:
      The best trial, or None if the budget was spent before the first.
    """
    at = {key: values.index(start[key]) if key in start and start[key] in values else 0 for key, values in axes.items()}

    def run(places: Mapping[str, int]) -> Trial | None:
        chosen = {key: axes[key][place] for key, place in places.items()}
        return trials.run({**settings, **chosen}, sweeps, quick=True)

    best = run(at)
    for stride, (key, values) in itertools.product(strides, axes.items()):
        for step in (stride, -stride):
            moved = False
            while best and 0 <= at[key] + step < len(values):
                other = run({**at, key: at[key] + step})
                if other is None:
                    return best
                if trials.gain(other) <= trials.gain(best):
                    break
                best, moved = other, True
                at[key] += step
            if moved:
                break
    return best


def _rounded(number: float) -> float:
    return float(f"{number:.3g}")
