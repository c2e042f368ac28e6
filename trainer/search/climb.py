"""Moves from first settings to better neighbors, one value at a time."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from trainer.search.records import Trial
from trainer.search.trials import Trials


def climb(
    trials: Trials,
    settings: Callable[[Mapping[str, Any]], Mapping[str, Any]],
    axes: Mapping[str, Sequence[Any]],
    start: Mapping[str, Any],
    sweeps: int,
    strides: Sequence[int] = (1,),
) -> tuple[Trial | None, dict[str, Any]]:
    """Moves to other values while they are better, one axis at a time.

    Args:
      trials: runs the settings.
      settings: returns the settings of a value of each axis.
      axes: the values of each axis in order.
      start: the first values. An axis starts with its first value otherwise.
      sweeps: the number of sweeps of a trial.
      strides: how many values each move takes. All axes move with the first stride, then with the next.

    Returns:
      The best trial, or None if the budget was spent before the first, and its value of each axis.
    """
    at = {axis: values.index(start[axis]) if start.get(axis) in values else 0 for axis, values in axes.items()}

    def values_at(places: Mapping[str, int]) -> dict[str, Any]:
        return {axis: axes[axis][place] for axis, place in places.items()}

    best = trials.run(settings(values_at(at)), sweeps, quick=True)
    for stride, (axis, values) in itertools.product(strides, axes.items()):
        for step in (stride, -stride):
            moved = False
            while best and 0 <= at[axis] + step < len(values):
                other = trials.run(settings(values_at({**at, axis: at[axis] + step})), sweeps, quick=True)
                if other is None:
                    return best, values_at(at)
                if not trials.is_better(other, best):
                    break
                best, moved = other, True
                at[axis] += step
            if moved:
                break
    return best, values_at(at)
