"""Training by alternating least squares: a sweep over both sides is an epoch."""

from __future__ import annotations

import keras
import numpy as np
from absl import logging

from errors import PairsTooMany
from trainer.data.pairs import Pairs, TrainingPairs
from trainer.epochs import Epochs
from trainer.least_squares.averaged_als import AveragedAls
from trainer.least_squares.implicit_als import ImplicitAls
from trainer.least_squares.variational_als import VariationalAls
from trainer.model.network import GLOBAL_BIAS, LEFT_BIAS, LEFT_VECTORS, RIGHT_BIAS, RIGHT_VECTORS
from trainer.model.table_sizes import TableSizes
from trainer.settings import ModelSettings, TrainSettings


class _Held:
    """An array of a solver, as `Epochs` keeps it."""

    def __init__(self, array: np.ndarray) -> None:
        self._array = array

    def numpy(self) -> np.ndarray:
        return self._array

    def assign(self, values: np.ndarray) -> None:
        self._array[...] = values


class Alternation:
    """Solves for the tables of `network` by least squares.

    `VariationalAls` for labels, or `AveragedAls`, the mean of several of them; `ImplicitAls` for positives.

    Raises:
      PairsTooMany: the pairs are not in memory, where the solver needs them.
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
                f"train.optimizer: als holds all {len(pairs):,} pairs in memory, more than train.data_memory_mb "
                f"{settings.data_memory_mb:,} allows; raise it, or choose adagrad, which streams them"
            )
        self._network, self._settings = network, settings
        labelled = AveragedAls if settings.als.copies > 1 else VariationalAls
        kind = ImplicitAls if model.objective == "ials" else labelled
        self._solver = kind(pairs, sizes, model, settings.als, settings.seed)
        self.variables = [_Held(array) for array in self._solver.state]

    def start_from_network(self) -> None:
        """Takes up the tables that the network has."""
        self._solver.start_from(
            [self._network.get_layer(name).get_weights()[0] for name in (LEFT_VECTORS, RIGHT_VECTORS)]
        )

    def run(self, validation: Pairs | None, epochs: Epochs) -> None:
        """Sweeps until the epochs are done or over."""
        while epochs.done < self._settings.epochs and not epochs.over:
            measured = self._solver.sweep()
            if validation is not None:
                measured |= {f"val_{name}": value for name, value in self._solver.measure(validation).items()}
            logging.info("epoch %d: %s", epochs.done + 1, measured)
            epochs.finish(measured)

    @property
    def finite(self) -> bool:
        """Whether every number is finite."""
        return all(bool(np.isfinite(variable.numpy()).all()) for variable in self.variables)

    def settle(self) -> None:
        """Puts the solution into the network."""
        tables = dict(zip((LEFT_VECTORS, RIGHT_VECTORS), self._solver.tables, strict=True))
        if self._solver.biases:
            left, right = self._solver.biases
            tables |= {LEFT_BIAS: left[:, None], RIGHT_BIAS: right[:, None]}
            tables[GLOBAL_BIAS] = np.array(self._solver.offset, np.float32)
        for name, table in tables.items():
            self._network.get_layer(name).set_weights([table])
