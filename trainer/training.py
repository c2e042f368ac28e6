"""Fitting: compile, early stopping on rows held out of train, and the guards around it."""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np
from absl import logging

from trainer import dataset
from trainer.dataset import Pairs
from trainer.errors import TrainingDiverged
from trainer.model import LEFT_VECTORS, RIGHT_VECTORS, TableSizes, build_model
from trainer.objectives import compile_arguments
from trainer.optimizers import build_optimizer
from trainer.settings import ModelSettings, TrainSettings

History = dict[str, list[float]]


class _StopOnDivergence(keras.callbacks.Callback):
    """Ends training at the first epoch whose loss is not finite, saying which and what to change."""

    def __init__(self, learning_rate: float) -> None:
        super().__init__()
        self._learning_rate = learning_rate

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        loss = (logs or {}).get("loss", 0.0)
        logging.info("epoch %d: %s", epoch + 1, logs)
        if not math.isfinite(loss):
            raise _diverged(f"the loss became {loss}", epoch + 1, self._learning_rate)


def _diverged(what: str, epoch: int, learning_rate: float) -> TrainingDiverged:
    return TrainingDiverged(
        f"train: {what} in epoch {epoch} at train.learning_rate {learning_rate}; "
        f"try {learning_rate / 10:g}, or raise model.regularization"
    )


def fit(train: Pairs, sizes: TableSizes, model: ModelSettings, settings: TrainSettings) -> tuple[keras.Model, History]:
    """Trains a model on `train`; the epoch with the best validation loss is the one that is kept.

    Returns:
      The model, and a value per epoch of each quantity that Keras tracked.

    Raises:
      TrainingDiverged: the loss or a weight became infinite or NaN.
    """
    keras.utils.set_random_seed(settings.seed)
    network = build_model(sizes, model, settings.seed)
    network.compile(optimizer=build_optimizer(settings), **compile_arguments(model))
    kept, validation = _with_validation(train, settings)
    history = network.fit(
        dataset.batches(kept, settings.batch_size, shuffle_seed=settings.seed),
        validation_data=dataset.batches(validation, settings.batch_size) if validation else None,
        epochs=settings.epochs,
        callbacks=_callbacks(settings, validation is not None),
        shuffle=False,  # the dataset does it
        verbose=0,
    )
    # An epoch's loss is measured before its last step, and cannot tell what that did.
    if not all(np.isfinite(weights).all() for weights in network.get_weights()):
        raise _diverged("a weight became infinite or NaN", len(history.epoch), settings.learning_rate)
    _clear_untouched_rows(network, kept, sizes)
    return network, {name: [float(value) for value in values] for name, values in history.history.items()}


def _with_validation(train: Pairs, settings: TrainSettings) -> tuple[Pairs, Pairs | None]:
    if settings.early_stopping is None or len(train) < 2:
        return train, None
    return dataset.hold_out(train, settings.early_stopping.validation_fraction, settings.seed)


def _callbacks(settings: TrainSettings, validated: bool) -> list[keras.callbacks.Callback]:
    callbacks: list[keras.callbacks.Callback] = [_StopOnDivergence(settings.learning_rate)]
    if validated and settings.early_stopping:
        stopping: dict[str, Any] = {
            "patience": settings.early_stopping.patience,
            "min_delta": settings.early_stopping.min_delta,
        }
        callbacks.append(
            keras.callbacks.EarlyStopping(monitor="val_rmse", mode="min", restore_best_weights=True, **stopping)
        )
    return callbacks


def _clear_untouched_rows(network: keras.Model, seen: Pairs, sizes: TableSizes) -> None:
    """Sets rows that no training pair touched to zero, the out-of-vocabulary ones above all.

    Such a row still holds its random start, and an id that was never seen should say "no opinion" (its partner's bias
    and no more), not a random one. Biases start at zero and stay there.
    """
    touched = {
        LEFT_VECTORS: np.bincount(seen.left, minlength=sizes.left) > 0,
        RIGHT_VECTORS: np.bincount(seen.right, minlength=sizes.right) > 0,
    }
    if sizes.shared:
        touched = {LEFT_VECTORS: touched[LEFT_VECTORS] | touched[RIGHT_VECTORS]}
    for layer in network.layers:
        if layer.name in touched:
            layer.set_weights([np.where(touched[layer.name][:, None], layer.get_weights()[0], 0.0)])
