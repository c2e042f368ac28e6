"""A step of gradient descent: the loss of a batch, its gradient, and the update."""

from __future__ import annotations

import keras
import tensorflow as tf

from compat.keras import BuiltModel
from trainer.gradient.objectives import loss_of
from trainer.gradient.scorer import Batch, Scorer
from trainer.settings import ModelSettings


class Learner(BuiltModel):
    """Trains `network` with `fit` of Keras on the batches of `trainer.gradient.batches`.

    Reports `loss`, the weighted mean over the pairs of the loss without the penalty. For regression, also reports
    `rmse`, the root of the weighted mean squared error.

    Args:
      network: the network to train.
      settings: section `model` of the pipeline file.
    """

    def __init__(self, network: keras.Model, settings: ModelSettings) -> None:
        super().__init__(name="learner")
        self.network = network
        self._settings = settings
        self._loss = loss_of(settings.objective)
        self._losses = keras.metrics.Mean(name="mean_loss")
        self._squares = keras.metrics.Mean(name="mean_square") if settings.objective == "regression" else None

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        """The metrics that Keras resets at the start of each epoch."""
        return [self._losses] + ([self._squares] if self._squares else [])

    def train_step(self, batch: Batch) -> dict[str, tf.Tensor]:
        """Updates the rows that `batch` uses, with the mean of loss and penalty over the whole batch."""
        scorer = Scorer(self.network, self._settings)
        with tf.GradientTape() as tape:
            total, losses = self._loss(scorer, batch, self._settings)
            if self._settings.regularization:
                total += self._settings.regularization * scorer.penalty()
            objective = total / batch["rows"]
        variables = self.network.trainable_variables
        self.optimizer.apply_gradients(zip(tape.gradient(objective, variables), variables, strict=True))
        return self._measured(losses, batch)

    def test_step(self, batch: Batch) -> dict[str, tf.Tensor]:
        """Measures the loss of `batch`."""
        _, losses = self._loss(Scorer(self.network, self._settings), batch, self._settings)
        return self._measured(losses, batch)

    def _measured(self, losses: tf.Tensor, batch: Batch) -> dict[str, tf.Tensor]:
        for metric in self.metrics:
            metric.update_state(losses, sample_weight=batch.get("weight"))
        # Shape [1], because Keras 3.15 averages over the first axis if there are several workers.
        return {name: value[None] for name, value in self.get_metrics_result().items()}

    def get_metrics_result(self) -> dict[str, tf.Tensor]:
        """Returns the metrics of an epoch."""
        measured = {"loss": self._losses.result()}
        return measured | ({"rmse": tf.sqrt(self._squares.result())} if self._squares else {})
