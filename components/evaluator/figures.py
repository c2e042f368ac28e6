"""Figures: the value and the interval of a metric on a slice, and the values of other models."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Sequence
from typing import Any

# Names of the other models: the mean of the training scores, that mean with a bias per entity, the most popular
# candidates, and the last blessed model.
MEAN, BIASES, POPULARITY, LAST_BLESSED = "mean", "biases", "popularity", "last_blessed"


@dataclasses.dataclass(frozen=True)
class Comparison:
    """The value of another model, and the interval of the candidate's value minus it (None unless a rule needs it)."""

    value: float | None
    low: float | None = None
    high: float | None = None


@dataclasses.dataclass(frozen=True)
class Figure:
    """The value of a metric on a slice ("" for all rows) with its 95 % interval, None where unknown.

    `count` is the number of rows, or of left entities for ranking metrics. `missing` is why there is no value.
    """

    metric: str
    slice: str
    count: int
    value: float | None
    low: float | None = None
    high: float | None = None
    others: dict[str, Comparison] = dataclasses.field(default_factory=dict)
    missing: str | None = None


def number(value: float) -> float | None:
    """Returns `value`, or None for NaN and infinity, which JSON cannot express."""
    return float(value) if math.isfinite(value) else None


def to_tree(figures: Sequence[Figure]) -> list[dict[str, Any]]:
    """Returns a JSON-compatible tree for `from_tree`."""
    return [dataclasses.asdict(figure) for figure in figures]


def from_tree(tree: Sequence[dict[str, Any]]) -> list[Figure]:
    """Reads the output of `to_tree`."""
    return [
        Figure(**(figure | {"others": {name: Comparison(**other) for name, other in figure["others"].items()}}))
        for figure in tree
    ]


def find(figures: Sequence[Figure], metric: str, slice_: str = "") -> Figure:
    """Returns the figure of `metric` on `slice_`.

    Raises:
      KeyError: there is no such figure.
    """
    for figure in figures:
        if (figure.metric, figure.slice) == (metric, slice_):
            return figure
    raise KeyError((metric, slice_))


def dump(value: Any) -> str:
    """Returns indented JSON, readable by people and machines."""
    return json.dumps(value, indent=1, allow_nan=False)
