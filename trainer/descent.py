"""Training by gradient descent, with Keras's own `fit`."""

from __future__ import annotations

import math
from collections.abc import Callable

import keras
import tensorflow as tf
from absl import logging

from trainer.batches import ALONE, BatchMaker, NegativeSampler
from trainer.epochs import Epochs
from trainer.errors import TrainingDiverged
from trainer.learner import Learner
from trainer.model import TableSizes
from trainer.pairs import Pairs, TrainingPairs
from trainer.settings import ModelSettings, TrainSettings


class _AfterEpoch(keras.callbacks.Callback):
    """Notes each epoch, ends training when `epochs` says so, and refuses a loss that is not finite."""

    def __init__(self, epochs: Epochs, learning_rate: float) -> None:
        super().__init__()
        self._epochs = epochs
        self._learning_rate = learning_rate

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        measured = {name: float(value) for name, value in (logs or {}).items()}
        logging.info("epoch %d: %s", epoch + 1, measured)
        if not math.isfinite(measured["loss"]):
            raise diverged(f"the loss became {measured['loss']}", epoch + 1, self._learning_rate)
        self._epochs.finish(measured)
        self.model.stop_training = self._epochs.over


def diverged(what: str, epoch: int, learning_rate: float) -> TrainingDiverged:
    """The error of a training whose numbers left the finite ones."""
    return TrainingDiverged(
        f"train: {what} in epoch {epoch} at train.learning_rate {learning_rate}; "
        f"try {learning_rate / 10:g}, or raise model.regularization"
    )


def batch_maker(pairs: TrainingPairs, sizes: TableSizes, model: ModelSettings, settings: TrainSettings) -> BatchMaker:
    """How batches of `pairs` are made for the objective; with a score, `logistic` learns from labels."""
    _, right = pairs.occurrences((sizes.left, sizes.right))
    sampler = NegativeSampler.of(right, model) if pairs.positives_only or model.objective != "logistic" else None
    return BatchMaker(settings.batch_size, settings.seed, sizes.right, pairs.weighted, sampler)


def descend(
    learner: Learner,
    pairs: TrainingPairs,
    validation: Pairs | None,
    maker: BatchMaker,
    epochs: Epochs,
    settings: TrainSettings,
    strategy: tf.distribute.Strategy,
) -> None:
    """Trains the compiled `learner` on `pairs` until its epochs are done or over.

    Raises:
      TrainingDiverged: the loss became infinite or NaN.
    """
    if epochs.over or epochs.done >= settings.epochs:
        return
    learner.fit(
        _distributed(strategy, lambda replicas, of: maker.training(pairs, epochs.done, replicas, of)),
        validation_data=None
        if validation is None
        else _distributed(strategy, lambda replicas, of: maker.validation(validation, replicas, of)),
        initial_epoch=epochs.done,
        epochs=settings.epochs,
        steps_per_epoch=steps(pairs, settings),
        callbacks=[_AfterEpoch(epochs, settings.learning_rate)],
        shuffle=False,  # the batches are
        verbose=0,
    )


def steps(pairs: TrainingPairs, settings: TrainSettings) -> int:
    """Updates in one epoch."""
    return -(-len(pairs) // settings.batch_size)


def _distributed(
    strategy: tf.distribute.Strategy, batches: Callable[[range, int], tf.data.Dataset]
) -> tf.data.Dataset | tf.distribute.DistributedDataset:
    """Batches for each replica, by `batches(replicas, of)`: together those that one device would see."""
    replicas = strategy.num_replicas_in_sync
    if replicas == 1:
        return batches(ALONE, 1)

    def of_worker(context: tf.distribute.InputContext) -> tf.data.Dataset:
        local = replicas // context.num_input_pipelines
        first = context.input_pipeline_id * local
        return batches(range(first, first + local), replicas)

    return strategy.distribute_datasets_from_function(of_worker)
