"""Training by a solver with its own loop: least squares, or light graph convolution. An epoch is a sweep."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import keras
import numpy as np
from absl import logging

from errors import PairsTooMany
from trainer.data.pairs import Pairs, TrainingPairs
from trainer.epochs import Epochs
from trainer.gradient.light_gcn import LightGcn
from trainer.judge import Judge
from trainer.least_squares.averaged_als import AveragedAls
from trainer.least_squares.blend import Blend
from trainer.least_squares.implicit_als import ImplicitAls
from trainer.least_squares.logistic_als import LogisticAls
from trainer.least_squares.spectral import Spectral
from trainer.least_squares.variational_als import VariationalAls
from trainer.model.network import GLOBAL_BIAS, LEFT_BIAS, LEFT_VECTORS, RIGHT_BIAS, RIGHT_VECTORS
from trainer.model.table_sizes import TableSizes
from trainer.settings import ModelSettings, TrainSettings
from trainer.training.memory import streaming_choice


class _Held:
    """Adapts an array of a solver to the `Variable` protocol of `Epochs`."""

    def __init__(self, array: np.ndarray) -> None:
        self._array = array

    def numpy(self) -> np.ndarray:
        return self._array

    def assign(self, values: np.ndarray) -> None:
        self._array[...] = values


class Solver(Protocol):
    """A factorization that improves with each sweep over both sides."""

    @property
    def offset(self) -> float:
        """The mean label, or 0."""

    @property
    def state(self) -> list[np.ndarray]:
        """Everything that determines the next sweep, and the tables."""

    @property
    def tables(self) -> list[np.ndarray]:
        """Left and right vectors, float32 `[rows, d]`."""

    @property
    def biases(self) -> list[np.ndarray] | None:
        """Left and right biases, float32 `[rows]`, or None."""

    def start_from(self, tables: list[np.ndarray]) -> None:
        """Starts from left and right vectors `[rows, d]`."""

    def sweep(self) -> dict[str, float]:
        """Improves both tables. Returns measures of the training pairs."""

    def measure(self, pairs: Pairs) -> dict[str, float]:
        """Measures some pairs."""


def solver_of(pairs: Pairs, sizes: TableSizes, model: ModelSettings, settings: TrainSettings) -> Solver:
    """Returns the solver for the objective. For labels, several copies are averaged.

    Args:
      pairs: the training pairs.
      sizes: the sizes of the embedding tables.
      model: section `model` of the pipeline file.
      settings: section `train` of the pipeline file.
    """
    als = settings.als
    if model.objective == "lightgcn":
        return LightGcn(pairs, sizes, model, settings)
    kind: Callable[..., Solver] = AveragedAls if als.copies > 1 else VariationalAls
    if model.objective == "ials":
        kind = ImplicitAls
    elif model.objective == "spectral":
        kind = Spectral
    elif model.objective == "blend":
        kind = Blend
    elif model.objective == "logistic" and als.copies == 1:
        kind = LogisticAls
    return kind(pairs, sizes, model, als, settings.seed)


class Alternation:
    """Trains the tables of a network by the solver of its objective.

    Args:
      network: the network whose tables are replaced.
      pairs: the training pairs, which must be in memory.
      sizes: the sizes of the embedding tables.
      model: section `model` of the pipeline file.
      settings: section `train` of the pipeline file.

    Raises:
      PairsTooMany: the pairs are not in memory.
    """

    def __init__(
        self,
        network: keras.Model,
        pairs: TrainingPairs,
        sizes: TableSizes,
        model: ModelSettings,
        settings: TrainSettings,
    ) -> None:
        if not isinstance(pairs, Pairs):
            raise PairsTooMany(
                f"train.optimizer: {settings.optimizer} with model.objective {model.objective} holds all "
                f"{len(pairs):,} pairs in memory, more than train.data_memory_mb {settings.data_memory_mb:,} allows. "
                f"Raise it, or choose {streaming_choice(model)}, which streams them"
            )
        self._network, self._settings = network, settings
        self._solver = solver_of(pairs, sizes, model, settings)
        self.variables = [_Held(array) for array in self._solver.state]

    def start_from_network(self) -> None:
        """Starts from the tables of the network."""
        self._solver.start_from(
            [self._network.get_layer(name).get_weights()[0] for name in (LEFT_VECTORS, RIGHT_VECTORS)]
        )

    def run(self, validation: Pairs | None, judge: Judge | None, epochs: Epochs) -> None:
        """Sweeps until all epochs are finished or training stops early."""
        while epochs.done < self._settings.epochs and not epochs.over:
            measured = self._solver.sweep()
            if validation is not None:
                measured |= {f"val_{name}": value for name, value in self._solver.measure(validation).items()}
            if judge is not None:
                measured[judge.name] = judge.mean(*self._solver.tables)
            logging.info("epoch %d: %s", epochs.done + 1, measured)
            epochs.finish(measured, last=epochs.done + 1 == self._settings.epochs)

    @property
    def finite(self) -> bool:
        """Whether all numbers are finite."""
        return all(bool(np.isfinite(variable.numpy()).all()) for variable in self.variables)

    def settle(self) -> None:
        """Copies the solution to the network."""
        tables = dict(zip((LEFT_VECTORS, RIGHT_VECTORS), self._solver.tables, strict=True))
        if self._solver.biases:
            left, right = self._solver.biases
            tables |= {LEFT_BIAS: left[:, None], RIGHT_BIAS: right[:, None]}
            tables[GLOBAL_BIAS] = np.array(self._solver.offset, np.float32)
        for name, table in tables.items():
            self._network.get_layer(name).set_weights([table])
