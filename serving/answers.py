"""Predictions of a published model. Imports neither TensorFlow nor NumPy."""

from __future__ import annotations

import dataclasses


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
