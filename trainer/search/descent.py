"""Trials of gradient descent: trains as the Trainer does, and reads what the measures need."""

from __future__ import annotations

import keras
import numpy as np

from trainer.data.hashing import Numbering
from trainer.data.pairs import Pairs, TrainingPairs
from trainer.model.network import ranking_tables
from trainer.model.table_sizes import TableSizes
from trainer.search.space import LABEL_METRICS
from trainer.settings import ModelSettings, TrainSettings
from trainer.training import fitting

_ROWS = 1 << 18


def fit(
    kept: TrainingPairs, held: Pairs, sizes: TableSizes, model: ModelSettings, train: TrainSettings, metric: str
) -> tuple[keras.Model, fitting.History, int]:
    """Trains on `kept`. With `train.early_stopping`, `held` chooses the epoch.

    Returns:
      The network, a value per epoch of each metric, and the number of the best epoch.
    """
    network, history = fitting.fit(kept, sizes, model, train, metric=metric, held=held)
    done = len(next(iter(history.values())))
    ranked = history.get(f"val_{metric}") if metric not in LABEL_METRICS else None
    falling = history.get("val_rmse" if model.objective == "regression" else "val_loss")
    if ranked:
        return network, history, done - int(np.argmax(ranked[::-1]))
    return network, history, int(np.argmin(falling)) + 1 if falling else done


def scores(network: keras.Model, pairs: Pairs) -> np.ndarray:
    """Returns the score of each pair, float32 `[n]`."""
    found = [np.asarray(network([part.left[:, None], part.right[:, None]]))[:, 0] for part in pairs.in_order(_ROWS)]
    return np.concatenate(found)


def tables(
    network: keras.Model, model: ModelSettings, sizes: TableSizes
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Returns left vectors, right vectors, and right biases or None, with a row for each entity."""
    if not sizes.numberings:
        return ranking_tables(network, model.has_unit_vectors)
    left, right, bias = ranking_tables(network, False)
    of_left, of_right = sizes.numberings
    rows = [_of_entities(left, of_left), _of_entities(right, of_right)]
    if model.has_unit_vectors:
        rows = [table / np.maximum(np.linalg.norm(table, axis=1, keepdims=True), 1e-12) for table in rows]
    return rows[0], rows[1], None if bias is None else _of_entities(bias, of_right)


def _of_entities(table: np.ndarray, numbering: Numbering) -> np.ndarray:
    """Returns the row of each known id, and the mean of the rows of each other id."""
    others = table[numbering.rows].mean(axis=1) if len(numbering) > numbering.known else table[:0]
    return np.concatenate([table[: numbering.known], others])
