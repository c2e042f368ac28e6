"""How a vector is found for an entity that the model has never seen, from the entities of its pairs.

With the other side fixed, the row of an entity is the solution of a linear system. Each `Part` solves for some columns:

    (P + lambda(n) I + sum over its pairs of w a a') x = u + sum over its pairs of w r a

Here a is the row of a given entity (with a 1 for the bias, if the model has biases), n the summed weight of the pairs,
and r the score that the part should give to the pair.
"""

from __future__ import annotations

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class Part:
    """Columns of the vectors of one side that are solved for together.

    Attributes:
      columns: the first column, and the one after the last.
      precision: P, float64 `[w, w]`, where w is the number of columns, plus 1 with a bias.
      pull: u, float64 `[w]`.
      weight: w of each known entity of the other side, float32 `[count]`, or the same for all.
      target: r of a positive pair, or None if it is the label without biases and offset.
      penalty: (s, c, e) of lambda(n) = s (n + c)^e.
      has_pairs: whether the pairs add to the matrix. They do not if P already contains all pairs, seen or not.
    """

    columns: tuple[int, int]
    precision: np.ndarray
    pull: np.ndarray
    weight: np.ndarray | float
    target: float | None = None
    penalty: tuple[float, float, float] = (0.0, 0.0, 1.0)
    has_pairs: bool = True


@dataclasses.dataclass(frozen=True)
class FoldIn:
    """How the vectors of unseen entities of each side are found.

    Attributes:
      left: the parts of a left vector, which is found from right entities.
      right: the parts of a right vector, which is found from left entities.
      biased: whether the last number of the only part is the bias of the entity.
      positives: whether the model learned from positives. Then a given score is the weight of a pair. Otherwise it is a
        score like those of the training data.
      liked: the label of a pair that is given without a score.
      of_signs: the labels of pairs with a negative and with a positive label, if only signs were learned.
    """

    left: tuple[Part, ...]
    right: tuple[Part, ...]
    biased: bool
    positives: bool
    liked: float = 1.0
    of_signs: tuple[float, float] | None = None
