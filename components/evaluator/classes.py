"""The ROC curve and the confusion matrix of scores: labels above the center against the others."""

from __future__ import annotations

from typing import Any

import numpy as np

from components.evaluator.metrics import Outcome

_POINTS = 100


def classified(of: Outcome) -> dict[str, Any] | None:
    """Returns the classes of all rows as JSON values, or None if all labels are of one class.

    Returns:
      `roc`, at most 101 points of threshold, false and true positive rate, from the highest threshold down. A row is
      predicted positive if its value is the threshold or more. `confusion`, the weight of rows by true class (not
      above the center, above it) and then by predicted class.
    """
    negative, positive = of.by_class
    if not negative.sum() or not positive.sum():
        return None
    held = np.flatnonzero(of.by_level > 0)[::-1]
    values = of.answers.levels.values[held].astype(np.float64)
    false, true = (np.cumsum(weight[held]) / weight.sum() for weight in (negative, positive))
    shown = np.unique(np.linspace(0, len(held) - 1, _POINTS).round().astype(np.intp))
    points = np.stack([values[shown], false[shown], true[shown]], axis=1).tolist()
    predicted = (of.answers.score > 0).astype(np.intp)
    cells = np.bincount(2 * of.labels.positive + predicted, of.labels.weights, 4).reshape(2, 2)
    return {"roc": [[float(np.nextafter(values[0], np.inf)), 0.0, 0.0], *points], "confusion": cells.tolist()}
