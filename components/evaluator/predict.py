"""Computes the predictions of a published model for a split."""

from __future__ import annotations

import dataclasses

import numpy as np

from components.coded_pairs import CodedPairs
from components.evaluator.metrics import Answers
from kindred import progress
from trainer.export.tables import Tables


@dataclasses.dataclass(frozen=True)
class Predictions:
    """Predictions for each row, and whether the model knows both ids (bool `[n]`)."""

    answers: Answers
    known: np.ndarray


def predict(tables: Tables, pairs: CodedPairs) -> Predictions:
    """Returns the predictions of a published model for the eval split.

    They come from its tables. ServingCanary compares these with the answers of its signatures.
    """
    with progress.counted("rows", len(pairs.eval)):
        scores, known = tables.scores(pairs.left_ids, pairs.right_ids, pairs.eval.left, pairs.eval.right)
    return Predictions(Answers(tables.values(scores).astype(np.float64), scores.astype(np.float64)), known)
