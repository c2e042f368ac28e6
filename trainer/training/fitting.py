"""Fitting: what is held out, how the epochs go, and the guards around them."""

from __future__ import annotations

import contextlib
import dataclasses
import tempfile
from collections.abc import Iterator

import keras
import numpy as np
import tensorflow as tf

from compat.glibc import keep_freed_memory
from trainer.data.pairs import Pairs, TrainingPairs
from trainer.epochs import Epochs, History
from trainer.gradient.descent import Descent, diverged
from trainer.least_squares.alternation import Alternation
from trainer.model.network import GLOBAL_BIAS, LEFT_VECTORS, RIGHT_VECTORS, build_model
from trainer.model.table_sizes import TableSizes
from trainer.settings import ModelSettings, TrainSettings
from trainer.training import calibration, devices, memory
from trainer.training.warm_start import WarmStart

__all__ = ["History", "TrainingFolders", "fit", "monitored"]


@dataclasses.dataclass(frozen=True)
class TrainingFolders:
    """Where a training leaves what it knows after each epoch.

    `epochs`: from which a killed training goes on; the same place must mean the same training. `curves`: TensorBoard's
    event files.
    """

    epochs: str | None = None
    curves: str | None = None


def monitored(model: ModelSettings) -> str:
    """The measure of rows held out that tells which epoch is the best; less is better."""
    return "val_rmse" if model.objective == "regression" else "val_loss"


def fit(
    train: TrainingPairs,
    sizes: TableSizes,
    model: ModelSettings,
    settings: TrainSettings,
    folders: TrainingFolders = TrainingFolders(),
    start: WarmStart | None = None,
) -> tuple[keras.Model, History]:
    """Trains a model on `train`, from `start` where it is given; the epoch with the best `monitored` measure is kept.

    Returns:
      The model, and a value per epoch of each measure.

    Raises:
      TrainingTooLarge: the model would not fit in memory.
      TrainingDiverged: the loss or a weight became infinite or NaN.
    """
    memory.check(sizes, model, settings)
    if settings.optimizer != "als":
        keep_freed_memory()
    keras.utils.set_random_seed(settings.seed)
    kept, validation = _with_validation(train, settings)
    strategy = devices.strategy_of(settings.devices)
    with strategy.scope():
        network = build_model(sizes, model, settings.seed)
    engine = (
        Alternation(network, kept, sizes, model, settings)
        if settings.optimizer == "als"
        else Descent(network, kept, sizes, model, settings, strategy)
    )
    if start:
        start.apply(network)
        engine.start_from_network()
    with _epochs_folder(folders, validation is not None) as directory:
        epochs = Epochs(
            engine.variables,
            directory,
            settings.early_stopping if validation is not None else None,
            monitor=monitored(model),
            curves=folders.curves,
            # A place that several workers share is the chief's to write; one of its own is each worker's.
            writes=devices.is_chief(strategy) or folders.epochs is None,
        )
        engine.run(validation, epochs)
        # An epoch's loss is measured before its last step, and cannot tell what that did.
        if not engine.finite:
            raise diverged("a weight became infinite or NaN", epochs.done, settings.learning_rate)
        epochs.go_back_to_best()
    engine.settle()
    _clear_untouched_rows(network, kept, sizes, start)
    if _learned_from_positives(kept, model):
        _calibrate(network, kept if validation is None else validation, settings)
    return network, epochs.history


def _with_validation(train: TrainingPairs, settings: TrainSettings) -> tuple[TrainingPairs, Pairs | None]:
    if settings.early_stopping is None or len(train) < 2:
        return train, None
    return train.hold_out(settings.early_stopping.validation_fraction, settings.seed)


@contextlib.contextmanager
def _epochs_folder(folders: TrainingFolders, needed: bool) -> Iterator[str | None]:
    """Where epochs are kept: the given place, else one that goes with the training, if the best epoch must be found."""
    if folders.epochs or not needed:
        yield folders.epochs
    else:
        with tempfile.TemporaryDirectory(prefix="kindred-epochs-") as directory:
            yield directory


def _learned_from_positives(pairs: TrainingPairs, model: ModelSettings) -> bool:
    return model.objective != "regression" and pairs.positives_only


def _clear_untouched_rows(
    network: keras.Model, seen: TrainingPairs, sizes: TableSizes, start: WarmStart | None
) -> None:
    """Sets rows that no training pair touched, here or in `start`, to zero, the out-of-vocabulary ones above all.

    Such a row still holds its random start, and an id that was never seen should say "no opinion" (its partner's bias
    and no more), not a random one. Biases start at zero and stay there.
    """
    left, right = sizes.touched(*(occurrences > 0 for occurrences in seen.occurrences(sizes.entities)))
    touched = {LEFT_VECTORS: left | right} if sizes.shared else {LEFT_VECTORS: left, RIGHT_VECTORS: right}
    for name, rows in touched.items():
        if start:
            rows = rows | start.kept(name)
        # By row, since a copy of a table may not fit in memory.
        table = network.get_layer(name).embeddings.value
        others = np.flatnonzero(~rows)
        table.scatter_update(tf.IndexedSlices(tf.zeros((len(others), table.shape[1])), tf.constant(others)))


def _calibrate(network: keras.Model, pairs: TrainingPairs, settings: TrainSettings) -> None:
    """Moves all scores so that 0 tells pairs of the data from random ones: a score's sign then means what it should."""
    some = next(pairs.shuffled(np.random.default_rng(settings.seed), calibration.PAIRS))
    observed, random = calibration.random_pairs(some.left, some.right, settings.seed)
    of_observed, of_random = (
        np.asarray(network([left[:, None], right[:, None]]))[:, 0] for left, right in (observed, random)
    )
    layer = network.get_layer(GLOBAL_BIAS)
    (offset,) = layer.get_weights()
    layer.set_weights([offset - np.float32(calibration.zero_point(of_observed, of_random))])
