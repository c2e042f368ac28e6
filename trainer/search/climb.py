"""Moves from settings to neighboring ones while they are better."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from trainer.search.records import Trial
from trainer.search.trials import Trials


def climb(
    trials: Trials,
    settings: Mapping[str, Any],
    axes: Mapping[str, Sequence[Any]],
    start: Mapping[str, Any],
    sweeps: int,
    affords: Callable[[Mapping[str, Any]], bool],
    strides: Sequence[int] = (1,),
    margin: float = 0.0,
) -> Trial | None:
    """Moves to other values while they are better, one key at a time.

    Args:
      trials: runs the settings.
      settings: the values of all other keys.
      axes: the values of each key in order.
      start: the first values. A key starts with its first value otherwise.
      sweeps: the number of sweeps of a trial.
      affords: whether the search can afford a trial. The first one is always made.
      strides: how many values each move takes. All keys move with the first stride, then with the next.
      margin: the share by which other values must be better.

    Returns:
      The best trial, or None if the budget was spent before the first.
    """
    at = {key: values.index(start[key]) if key in start and start[key] in values else 0 for key, values in axes.items()}

    def run(places: Mapping[str, int], first: bool = False) -> Trial | None:
        tried = {**settings, **{key: axes[key][place] for key, place in places.items()}}
        return trials.run(tried, sweeps, quick=True) if first or affords(tried) else None

    best = run(at, first=True)
    for stride, (key, values) in itertools.product(strides, axes.items()):
        for step in (stride, -stride):
            moved = False
            while best and 0 <= at[key] + step < len(values):
                other = run({**at, key: at[key] + step})
                if other is None:
                    return best
                if trials.gain(other) <= trials.gain(best) + margin * abs(trials.gain(best)):
                    break
                best, moved = other, True
                at[key] += step
            if moved:
                break
    return best
