"""Saves the state of a training after each epoch: metrics, TensorBoard curves and variables.

A directory of epochs holds `state.json` and a folder of arrays for the last and for the best epoch. `state.json` is
staged and renamed last. It always names complete folders, even if training is killed.
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
import time
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import tensorflow as tf
from absl import logging

from kindred import progress
from trainer.settings import EarlyStoppingSettings

History = dict[str, list[float]]

HISTORY_FILE = "history.json"
"""The values of each measure after each epoch, in the folder of the Trainer's `model_run`."""


@dataclasses.dataclass(frozen=True)
class Monitor:
    """The metric that chooses the epoch: a key of `History`, and whether larger values are better."""

    name: str
    rising: bool = False


EPOCHS = "epochs"
"""What `kindred.progress` counts."""
HELD_OUT = "val_"
"""How the names of measures of held-out rows begin."""
_OF_LABELS = ("val_rmse", "val_loss")
_STATE = "state.json"
_SHORT_SECONDS = 30.0
_SCALAR = tf.compat.v1.SummaryMetadata(
    plugin_data=tf.compat.v1.SummaryMetadata.PluginData(plugin_name="scalars"), data_class="DATA_CLASS_SCALAR"
)


class Variable(Protocol):
    """An array that can be read and replaced, such as a `tf.Variable`."""

    def numpy(self) -> np.ndarray:
        """Returns the values."""

    def assign(self, values: Any) -> object:
        """Replaces the values."""


def best_epoch(values: Sequence[float], rising: bool, min_delta: float) -> int:
    """Returns the number of the best epoch from 1, or 0 without values. `Epochs.best` describes it."""
    best, least = 0, math.inf
    for epoch, value in enumerate([-value for value in values] if rising else values, start=1):
        bound = least - min_delta
        if value < bound or (rising and value == bound):
            best, least = epoch, value
    return best


def kept_epoch(history: History, min_delta: float) -> tuple[int, str | None]:
    """Returns the number of the epoch that a finished training kept, and the measure that chose it.

    Args:
      history: the values of each measure after each epoch.
      min_delta: `train.early_stopping.min_delta`.

    Returns:
      The last epoch and None if no held-out rows were measured.
    """
    held_out = [name for name in history if name.startswith(HELD_OUT) and history[name]]
    ranked = next((name for name in held_out if name not in _OF_LABELS), None)
    monitored = ranked or next((name for name in _OF_LABELS if name in held_out), None)
    if monitored is None:
        return max(map(len, history.values()), default=0), None
    return best_epoch(history[monitored], monitored == ranked, min_delta), monitored


class Epochs:
    """Tracks the epochs of one training, and resumes an interrupted one.

    Args:
      variables: the complete state of the training, in the same order in every run.
      directory: where epochs are saved. An unfinished training in this directory is resumed. None saves nothing.
      stopping: when to stop early. None never stops early.
      monitor: the metric that chooses the best epoch.
      curves: the directory of TensorBoard event files. None writes none.
      writes: whether this process writes. With several workers, only one does.

    Example:
        epochs = Epochs(network.weights, "/tmp/epochs", None, Monitor("val_loss"))
        while epochs.done < 10 and not epochs.over:
            epochs.finish({"loss": 0.5, "val_loss": 0.6})
        epochs.restore_best()
    """

    def __init__(
        self,
        variables: Sequence[Variable],
        directory: str | None,
        stopping: EarlyStoppingSettings | None,
        monitor: Monitor,
        curves: str | None = None,
        writes: bool = True,
    ) -> None:
        self._variables = list(variables)
        self._directory = directory
        self._stopping = stopping
        self._monitor = monitor
        self._writes = writes
        self.history: History = {}
        self._curves = tf.summary.create_file_writer(curves) if curves and writes else None
        self._since = time.monotonic()
        self._resume()

    @property
    def done(self) -> int:
        """The number of finished epochs."""
        return max(map(len, self.history.values()), default=0)

    @property
    def best(self) -> int:
        """The number of the best epoch, starting at 1, or 0 without early stopping.

        For a rising metric, the last of equally good epochs is the best. A ranking can be perfect before the scores are
        well apart.
        """
        if not self._stopping:
            return 0
        return best_epoch(self.history.get(self._monitor.name, []), self._monitor.rising, self._stopping.min_delta)

    @property
    def over(self) -> bool:
        """Whether more than `patience` epochs have passed since the best one."""
        return self._stopping is not None and self.best > 0 and self.done - self.best >= self._stopping.patience

    def finish(self, measured: Mapping[str, float], last: bool = False) -> None:
        """Records the metrics of a finished epoch, and saves the variables.

        Args:
          measured: values by name of metric.
          last: whether the training ends with this epoch. A short one is then not saved: an interruption before the
            model is exported repeats it.
        """
        now = time.monotonic()
        is_repeated = last and now - self._since < _SHORT_SECONDS
        self._since = now
        for name, value in measured.items():
            self.history.setdefault(name, []).append(float(value))
        self._draw(self.done, measured)
        progress.advance(EPOCHS, 1)
        if self._directory and self._writes and not is_repeated:
            self._save(self._directory)

    def restore_best(self) -> None:
        """Restores the variables of the best epoch, if there is one."""
        if self._directory and self.best not in (0, self.done):
            self._restore(self._directory, self.best)

    def _resume(self) -> None:
        if self._directory and tf.io.gfile.exists(os.path.join(self._directory, _STATE)):
            with tf.io.gfile.GFile(os.path.join(self._directory, _STATE)) as file:
                self.history = json.load(file)
            self._restore(self._directory, self.done)
            logging.info("training resumes after epoch %d", self.done)
            for epoch in range(self.done):
                self._draw(epoch + 1, {name: values[epoch] for name, values in self.history.items()})

    def _draw(self, epoch: int, measured: Mapping[str, float]) -> None:
        if self._curves is not None:
            with self._curves.as_default():
                for name, value in measured.items():
                    # The format of `tf.summary.scalar`, which requires TensorBoard.
                    tf.summary.write(f"epoch_{name}", np.float32(value), step=epoch, metadata=_SCALAR)
                self._curves.flush()

    def _save(self, directory: str) -> None:
        folder = _folder(directory, self.done)
        tf.io.gfile.makedirs(folder)
        for number, variable in enumerate(self._variables):
            with tf.io.gfile.GFile(_array(folder, number), "wb") as file:
                np.save(file, variable.numpy())
        staged = os.path.join(directory, _STATE + ".staged")
        with tf.io.gfile.GFile(staged, "w") as file:
            json.dump(self.history, file)
        tf.io.gfile.rename(staged, os.path.join(directory, _STATE), overwrite=True)
        kept = {os.path.basename(_folder(directory, epoch)) for epoch in (self.best, self.done)}
        for name in (entry.rstrip("/") for entry in tf.io.gfile.listdir(directory)):
            if name.startswith("epoch-") and name not in kept:
                tf.io.gfile.rmtree(os.path.join(directory, name))

    def _restore(self, directory: str, epoch: int) -> None:
        for number, variable in enumerate(self._variables):
            with tf.io.gfile.GFile(_array(_folder(directory, epoch), number), "rb") as file:
                variable.assign(np.load(file))


def _folder(directory: str, epoch: int) -> str:
    return os.path.join(directory, f"epoch-{epoch:05d}")


def _array(folder: str, number: int) -> str:
    return os.path.join(folder, f"{number:02d}.npy")
