"""What was measured: a value with its interval for each metric and slice, beside those of other models."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Sequence
from typing import Any

# Other models on the same rows: the mean of the training scores, the mean and a bias for each entity, the most popular
# candidates, and the last blessed model.
MEAN, BIASES, POPULARITY, LAST_BLESSED = "mean", "biases", "popularity", "last_blessed"


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Another model's value, and the interval of the candidate's value minus it; None where no rule needs one."""

    value: float | None
    low: float | None = None
    high: float | None = None


@dataclasses.dataclass(frozen=True)
class Figure:
    """The value of a metric on a slice ("" for all rows) with its 95 % interval; None where there is nothing to say.

    `count` is the number of rows, or of left entities for rankings, that it is about.
    """

    metric: str
    slice: str
    count: int
    value: float | None
    low: float | None = None
    high: float | None = None
    others: dict[str, Comparison] = dataclasses.field(default_factory=dict)


def number(value: float) -> float | None:
    """`value`, None where it is no number: JSON has none for that."""
    return float(value) if math.isfinite(value) else None


def to_tree(figures: Sequence[Figure]) -> list[dict[str, Any]]:
    """What `from_tree` reads back, as JSON holds it."""
    return [dataclasses.asdict(figure) for figure in figures]


def from_tree(tree: Sequence[dict[str, Any]]) -> list[Figure]:
    """Reads what `to_tree` wrote."""
    return [
        Figure(**(figure | {"others": {name: Comparison(**other) for name, other in figure["others"].items()}}))
        for figure in tree
    ]


def find(figures: Sequence[Figure], metric: str, slice_: str = "") -> Figure:
    """The figure of `metric` on `slice_`.

    Raises:
      KeyError: there is none.
    """
    for figure in figures:
        if (figure.metric, figure.slice) == (metric, slice_):
            return figure
    raise KeyError((metric, slice_))


def dump(value: Any) -> str:
    """JSON as machines and people read it."""
    return json.dumps(value, indent=1, allow_nan=False)
