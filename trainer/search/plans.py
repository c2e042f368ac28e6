"""Which settings are tried, and in which order: good first guesses, then the neighbors of the best one."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from trainer.least_squares.spectral import ENOUGH_SWEEPS
from trainer.search.records import Trial
from trainer.search.space import LABEL_METRICS
from trainer.search.trials import Trials

# Tables of more bytes than this are no default, because serving reads all of them for each ranking.
_MOST_BYTES = 512 << 20
_DIMENSIONS = (64, 128, 256)
_EXPONENTS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7)
_PENALTIES = (0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3)
# The weight of unobserved pairs, divided by the share of observed pairs: how much all of them count, relative to the
# observed ones.
_UNOBSERVED = (0.25, 1.0, 4.0, 16.0)
_WIDTHS = (8, 16, 32, 64)
_RIDGES = (None, 1.0, 3.0, 10.0)
_IMPLICIT = (2.0, 5.0, 15.0, None)
_COPIES = 4
# Sweeps that rank settings, and sweeps of settings that may win.
_FEW, _MANY = 3, 16
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
    parts = []
    if "spectral" in objectives or "blend" in objectives:
        parts.append(_spectral(trials, plan, widths))
    if "ials" in objectives or "blend" in objectives:
        parts.append(_ials(trials, plan, widths))
    if "blend" in objectives:
        _blend(trials, plan, [part for part in parts if part])


def ratings(trials: Trials, plan: Plan) -> None:
    """Tries dimensions, penalties and averages of least squares for pairs with scores."""
    axes = {
        "train.als.implicit": plan.values("train.als.implicit", _IMPLICIT),
        "model.dimension": plan.values("model.dimension", _WIDTHS),
        "train.als.ridge": plan.values("train.als.ridge", _RIDGES),
    }
    one = {**plan.others, "train.optimizer": "als", "train.als.copies": plan.values("train.als.copies", (1,))[0]}
    best = _climb(trials, one, axes, {"model.dimension": 16, "train.als.implicit": 5.0}, _MANY)
    if best and "train.als.copies" in plan.keys:
        width = best.settings["model.dimension"] * (_COPIES if "model.dimension" in plan.keys else 1)
        averaged = {**best.settings, "train.als.copies": min(_COPIES, width), "model.dimension": width}
        trials.run(averaged, _MANY)


def _affordable(widths: Sequence[int], trials: Trials) -> Sequence[int]:
    """Returns the dimensions whose tables are not too large, at least the first."""
    rows = trials.sizes.left + trials.sizes.right
    return [width for width in widths if width == widths[0] or rows * width * 4 <= _MOST_BYTES]


def _spectral(trials: Trials, plan: Plan, widths: Sequence[int]) -> Trial | None:
    settings = {**plan.others, "model.objective": "spectral", "model.dimension": widths[-1]}
    axes = {"model.popularity_exponent": plan.values("model.popularity_exponent", _EXPONENTS)}
    start = {"model.popularity_exponent": 0.4}
    return _climb(trials, settings, axes, start, ENOUGH_SWEEPS, tuple(widths[:-1]))


def _ials(trials: Trials, plan: Plan, widths: Sequence[int]) -> Trial | None:
    weights = [_rounded(factor * trials.density) for factor in _UNOBSERVED]
    axes = {
        "model.regularization": plan.values("model.regularization", _PENALTIES),
        "model.unobserved_weight": plan.values("model.unobserved_weight", weights),
    }
    start = {"model.regularization": 0.01, "model.unobserved_weight": weights[2]}
    settings = {**plan.others, "model.objective": "ials", "model.dimension": widths[0]}
    best = _climb(trials, settings, axes, start, _FEW)
    for width in widths:
        if best is None:
            break
        wider = trials.run({**best.settings, "model.dimension": width}, _MANY)
        if wider is None or (trials.gain(wider) < (1 + _WORTHWHILE) * trials.gain(best) and width > widths[0]):
            break
        best = wider
    return best


def _blend(trials: Trials, plan: Plan, parts: Sequence[Trial]) -> None:
    """Tries the sum of the best models of both kinds. Each has half of the dimensions."""
    if len(parts) < 2:
        return
    settings = {key: value for part in parts for key, value in part.settings.items()} | {"model.objective": "blend"}
    widest = max(part.settings["model.dimension"] for part in parts)
    for width in _affordable(plan.values("model.dimension", (widest, 2 * widest)), trials):
        trials.run({**settings, "model.dimension": width}, _MANY)


def _climb(
    trials: Trials,
    settings: Mapping[str, Any],
    axes: Mapping[str, Sequence[Any]],
    start: Mapping[str, Any],
    sweeps: int,
    widths: tuple[int, ...] = (),
) -> Trial | None:
    """Moves to neighboring values while they are better, one key at a time.

    Args:
      trials: runs the settings.
      settings: the values of all other keys.
      axes: the values of each key in order.
      start: the first values. A key starts with its first value otherwise.
      sweeps: the maximum number of sweeps of a trial.
      widths: smaller dimensions that each trial measures too.

    Returns:
      The best trial, or None if the budget was spent before the first.
    """
    at = {key: values.index(start[key]) if key in start and start[key] in values else 0 for key, values in axes.items()}

    def run(places: Mapping[str, int]) -> Trial | None:
        chosen = {key: axes[key][place] for key, place in places.items()}
        return trials.run({**settings, **chosen}, sweeps, widths)

    best = run(at)
    for key, values in axes.items():
        for step in (1, -1):
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
