"""Gradient descent with `fit` of Keras."""

from __future__ import annotations

import math
from collections.abc import Callable

import keras
import tensorflow as tf
from absl import logging

from errors import TrainingDiverged
from trainer.data.pairs import Pairs, TrainingPairs
from trainer.epochs import Epochs
from trainer.gradient.batches import ALONE, BatchMaker, NegativeSampler
from trainer.gradient.learner import Learner
from trainer.gradient.optimizers import build_optimizer
from trainer.judge import Judge
from trainer.model.network import ranking_tables
from trainer.model.table_sizes import TableSizes
from trainer.settings import ModelSettings, TrainSettings


class _AfterEpoch(keras.callbacks.Callback):
    """Records each epoch, stops training according to `epochs`, and refuses a loss that is not finite."""

    def __init__(self, epochs: Epochs, learning_rate: float, measure: Callable[[], dict[str, float]]) -> None:
        super().__init__()
        self._measure = measure
        self._epochs = epochs
        self._learning_rate = learning_rate

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        measured = {name: float(value) for name, value in (logs or {}).items()} | self._measure()
        logging.info("epoch %d: %s", epoch + 1, measured)
        if not math.isfinite(measured["loss"]):
            raise diverged(f"the loss became {measured['loss']}", epoch + 1, self._learning_rate)
        self._epochs.finish(measured, last=epoch + 1 == self.params["epochs"])
        self.model.stop_training = self._epochs.over


def diverged(what: str, epoch: int, learning_rate: float) -> TrainingDiverged:
    """Returns the error of a training with infinite or NaN values."""
    return TrainingDiverged(
        f"train: {what} in epoch {epoch} at train.learning_rate {learning_rate}. "
        f"Try {learning_rate / 10:g}, or raise model.regularization"
    )


class Descent:
    """Trains a network by gradient descent on every device of a strategy.

    Args:
      network: the network to train.
      pairs: the training pairs.
      sizes: the sizes of the embedding tables.
      model: section `model` of the pipeline file.
      settings: section `train` of the pipeline file.
    """

    def __init__(
        self,
        network: keras.Model,
        pairs: TrainingPairs,
        sizes: TableSizes,
        model: ModelSettings,
        settings: TrainSettings,
        strategy: tf.distribute.Strategy,
    ) -> None:
        self._network, self._pairs, self._settings, self._strategy = network, pairs, settings, strategy
        self._normalize = model.has_unit_vectors
        self._steps = -(-len(pairs) // settings.batch_size)
        self._maker = _batch_maker(pairs, sizes, model, settings)
        with strategy.scope():
            self._learner = Learner(network, model)
            optimizer = build_optimizer(settings)
            optimizer.build(network.trainable_variables)
            # Runs an epoch in one TensorFlow call. This loop cannot run the steps of several replicas (Keras 3.15).
            at_once = self._steps if strategy.num_replicas_in_sync == 1 else 1
            self._learner.compile(optimizer=optimizer, steps_per_execution=at_once)
        self.variables = [variable.value for variable in (*network.variables, *optimizer.variables)]

    def start_from_network(self) -> None:
        """Does nothing, because the tables of the network are trained directly."""

    def run(self, validation: Pairs | None, judge: Judge | None, epochs: Epochs) -> None:
        """Trains until all epochs are finished or training stops early.

        Args:
          validation: held-out pairs, measured after each epoch.
          judge: ranks held-out pairs after each epoch, or None.
          epochs: saves each epoch.

        Raises:
          TrainingDiverged: the loss became infinite or NaN.
        """
        if epochs.over or epochs.done >= self._settings.epochs:
            return

        def ranked() -> dict[str, float]:
            if judge is None:
                return {}
            return {judge.name: judge.mean(*ranking_tables(self._network, self._normalize))}

        ahead = range(epochs.done, self._settings.epochs)
        self._learner.fit(
            _distributed(self._strategy, lambda replicas, of: self._maker.training(self._pairs, ahead, replicas, of)),
            validation_data=None
            if validation is None
            else _distributed(self._strategy, lambda replicas, of: self._maker.validation(validation, replicas, of)),
            initial_epoch=epochs.done,
            epochs=self._settings.epochs,
            steps_per_epoch=self._steps,
            callbacks=[_AfterEpoch(epochs, self._settings.learning_rate, ranked)],
            shuffle=False,  # batches are already shuffled
            verbose=0,
        )

    @property
    def finite(self) -> bool:
        """Whether all weights are finite."""
        return all(bool(tf.reduce_all(tf.math.is_finite(variable.value))) for variable in self._network.variables)

    def settle(self) -> None:
        """Does nothing, because the network already has the solution."""


def _batch_maker(pairs: TrainingPairs, sizes: TableSizes, model: ModelSettings, settings: TrainSettings) -> BatchMaker:
    """Returns the batch maker for the objective. If pairs have a score, `logistic` learns from labels."""
    sampler = None
    if model.objective != "regression" and (pairs.positives_only or model.objective != "logistic"):
        sampler = NegativeSampler.of(pairs.occurrences(sizes.entities)[1], model)
    return BatchMaker(settings.batch_size, settings.seed, sizes.entities[1], pairs.weighted, sampler)


def _distributed(
    strategy: tf.distribute.Strategy, batches: Callable[[range, int], tf.data.Dataset]
) -> tf.data.Dataset | tf.distribute.DistributedDataset:
    """Distributes `batches(replicas, of)` to replicas. Together, they see the batches of a single device."""
    replicas = strategy.num_replicas_in_sync
    if replicas == 1:
        return batches(ALONE, 1)

    def of_worker(context: tf.distribute.InputContext) -> tf.data.Dataset:
        local = replicas // context.num_input_pipelines
        first = context.input_pipeline_id * local
        return batches(range(first, first + local), replicas)

    return strategy.distribute_datasets_from_function(of_worker)
