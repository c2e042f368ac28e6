"""What a published model answers, wherever it runs. Needs neither TensorFlow nor NumPy."""

from __future__ import annotations

import dataclasses
from typing import Protocol


@dataclasses.dataclass(frozen=True)
class PairScore:
    """How similar two entities are: the sign says whether, the strength how much."""

    score: float
    strength: float
    value: float
    left_known: bool
    right_known: bool


@dataclasses.dataclass(frozen=True)
class Neighbor:
    """An entity and its score with the one that was asked about."""

    id: bytes
    score: float


class Model(Protocol):
    """A published model that can be asked: in this process, or behind an endpoint."""

    def score(self, left_id: bytes, right_id: bytes) -> PairScore:
        """The score of one pair."""
        ...

    def similar(self, side: str, query_id: bytes, k: int) -> tuple[list[Neighbor], bool]:
        """The `k` entities of `side` (left or right) that score highest with `query_id` of the other side.

        Returns:
          The entities, best first, and whether the query is known.
        """
        ...
