"""Slices of the eval split."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

OVERALL = ""
_POPULARITY = ("head", "middle", "tail")
LEFT = tuple(f"left_{part}" for part in _POPULARITY)
RIGHT = tuple(f"right_{part}" for part in _POPULARITY)
SLICES = (*LEFT, *RIGHT, "known", "unknown", "positive", "negative")


@dataclasses.dataclass(frozen=True)
class Cuts:
    """Minimum numbers (or summed weights) of training pairs for head and middle entities. The others are in the tail.

    The head holds at least a third of the training pairs. Head and middle together hold at least two thirds.
    """

    head: float
    middle: float

    @classmethod
    def of(cls, counts: np.ndarray) -> Cuts:
        """Returns the cut points of entities with `counts` training pairs each."""
        ordered = np.sort(counts[counts > 0])[::-1]
        if not len(ordered):
            return cls(1, 1)
        held = np.cumsum(ordered) / ordered.sum()
        head, middle = (ordered[np.searchsorted(held, share - 1e-9)].item() for share in (1 / 3, 2 / 3))
        return cls(head, middle)

    def part(self, counts: np.ndarray) -> np.ndarray:
        """Returns 0 for the head, 1 for the middle, 2 for the tail."""
        return np.where(counts >= self.head, 0, np.where(counts >= self.middle, 1, 2))


def popularity(names: Sequence[str], counts: np.ndarray, cuts: Cuts) -> dict[str, np.ndarray]:
    """Returns the masks of `LEFT` or `RIGHT` for rows whose entity has `counts` training pairs."""
    part = cuts.part(counts)
    return {name: part == number for number, name in enumerate(names)}
