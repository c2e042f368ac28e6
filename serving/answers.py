"""Predictions of a published model, and the interface of its clients. Imports neither TensorFlow nor NumPy."""

from __future__ import annotations

import dataclasses
from typing import Protocol


@dataclasses.dataclass(frozen=True)
class PairScore:
    """The similarity of two entities.

    Attributes:
      score: the signed similarity. A positive score means similar.
      strength: the absolute value of `score`.
      value: the prediction on the scale of the training values.
      left_known: whether the model's left vocabulary has the left id.
      right_known: whether the model's right vocabulary has the right id.
    """

    score: float
    strength: float
    value: float
    left_known: bool
    right_known: bool


@dataclasses.dataclass(frozen=True)
class Neighbor:
    """An entity that is similar to a query.

    Attributes:
      id: the entity's id.
      score: the signed similarity of the entity and the query.
    """

    id: bytes
    score: float


class ModelClient(Protocol):
    """A client of a published model, in this process or behind an endpoint."""

    def score(self, left_id: bytes, right_id: bytes) -> PairScore:
        """Scores one pair.

        Args:
          left_id: the id of the left entity.
          right_id: the id of the right entity.

        Returns:
          The score. Unknown ids are scored too, and flagged.
        """
        ...

    def similar(self, side: str, query_id: bytes, k: int) -> tuple[list[Neighbor], bool]:
        """Finds the entities of one side that score highest with an entity of the other side.

        Args:
          side: the side to search, `left` or `right`.
          query_id: the id of an entity on the other side.
          k: the maximum number of entities to return.

        Returns:
          The entities, best first, and whether the query is known.
        """
        ...
