"""What is known after each epoch: the curves, the best epoch, and the variables, kept so that nothing of it is lost.

A directory of epochs holds `state.json` and a folder of arrays for the last and for the best epoch. `state.json` is
written last, beside itself, and renamed: whenever training is killed, it names folders that are whole.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import tensorflow as tf
from absl import logging

from trainer.settings import EarlyStoppingSettings

History = dict[str, list[float]]

_STATE = "state.json"
_SCALAR = tf.compat.v1.SummaryMetadata(
    plugin_data=tf.compat.v1.SummaryMetadata.PluginData(plugin_name="scalars"), data_class="DATA_CLASS_SCALAR"
)


class Variable(Protocol):
    """Numbers that can be read and replaced: a `tf.Variable`, or what stands for an array."""

    def numpy(self) -> np.ndarray:
        """The numbers."""

    def assign(self, values: Any) -> object:
        """Replaces them."""


class Epochs:
    """The epochs of one training: how many are done, how they went, which was best.

    Args:
      variables: everything that decides how training goes on; the same ones in the same order in every run.
      directory: where epochs are kept; what an earlier, unfinished training left there is taken up. None: nowhere.
      stopping: when to stop early, by `monitor`, a measure of which less is better.
      curves: where TensorBoard's event files go; None: nowhere.
      writes: whether this process writes (of several workers, one).
    """

    def __init__(
        self,
        variables: Sequence[Variable],
        directory: str | None,
        stopping: EarlyStoppingSettings | None,
        monitor: str,
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
        self._take_up()

    @property
    def done(self) -> int:
        """How many epochs are done."""
        return max(map(len, self.history.values()), default=0)

    @property
    def best(self) -> int:
        """The number, from 1, of the best epoch so far; 0: there is none, or nothing to tell by."""
        best, least = 0, math.inf
        for epoch, value in enumerate(self._monitored(), start=1):
            if value < least - self._min_delta:
                best, least = epoch, value
        return best

    @property
    def over(self) -> bool:
        """Whether the best epoch is longer ago than `patience` allows."""
        return self._stopping is not None and self.best > 0 and self.done - self.best >= self._stopping.patience

    def finish(self, measured: Mapping[str, float]) -> None:
        """Notes the measures of an epoch that is done, and keeps its variables."""
        for name, value in measured.items():
            self.history.setdefault(name, []).append(float(value))
        self._draw(self.done, measured)
        if self._directory and self._writes:
            self._save(self._directory)

    def go_back_to_best(self) -> None:
        """Gives the variables the values of the best epoch, where there is one."""
        if self._directory and self.best not in (0, self.done):
            self._restore(self._directory, self.best)

    def _monitored(self) -> list[float]:
        return self.history.get(self._monitor, []) if self._stopping else []

    @property
    def _min_delta(self) -> float:
        return self._stopping.min_delta if self._stopping else 0.0

    def _take_up(self) -> None:
        if self._directory and tf.io.gfile.exists(os.path.join(self._directory, _STATE)):
            with tf.io.gfile.GFile(os.path.join(self._directory, _STATE)) as file:
                self.history = json.load(file)
            self._restore(self._directory, self.done)
            logging.info("training goes on after epoch %d", self.done)
            for epoch in range(self.done):
                self._draw(epoch + 1, {name: values[epoch] for name, values in self.history.items()})

    def _draw(self, epoch: int, measured: Mapping[str, float]) -> None:
        if self._curves is not None:
            with self._curves.as_default():
                for name, value in measured.items():
                    # What `tf.summary.scalar` writes; that one needs TensorBoard itself.
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
