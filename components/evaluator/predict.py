"""Computes the predictions of a published model for a split with its `score` signature."""

from __future__ import annotations

import dataclasses

import numpy as np
import pyarrow as pa
import tensorflow as tf

from components.coded_pairs import CodedPairs
from components.evaluator.metrics import Answers

_BATCH = 65_536


@dataclasses.dataclass(frozen=True)
class Predictions:
    """Predictions for each row, and whether the model knows both ids (bool `[n]`)."""

    answers: Answers
    known: np.ndarray


def predict(directory: str, pairs: CodedPairs) -> Predictions:
    """Returns the predictions of the SavedModel in `directory` for the eval split."""
    model = tf.saved_model.load(directory)
    score = model.signatures["score"]
    columns: dict[str, list[np.ndarray]] = {name: [] for name in ("score", "value", "left_known", "right_known")}
    for start in range(0, len(pairs.eval), _BATCH):
        part = pairs.eval.take(slice(start, start + _BATCH))
        answers = score(left_id=_strings(pairs.left_ids, part.left), right_id=_strings(pairs.right_ids, part.right))
        for name, column in columns.items():
            column.append(answers[name].numpy())
    values, scores, left, right = (
        np.concatenate([*columns[name], np.zeros(0, kind)])
        for name, kind in (("value", np.float32), ("score", np.float32), ("left_known", bool), ("right_known", bool))
    )
    return Predictions(Answers(values.astype(np.float64), scores.astype(np.float64)), left & right)


def _strings(ids: pa.Array, codes: np.ndarray) -> tf.Tensor:
    return tf.constant(ids.take(pa.array(codes)).to_numpy(zero_copy_only=False), tf.string)
