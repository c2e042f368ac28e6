"""Fits a model: holds out rows, runs the epochs, and checks the result."""

from __future__ import annotations

import contextlib
import dataclasses
import tempfile
from collections.abc import Iterator

import keras
import numpy as np
import tensorflow as tf

from compat.glibc import keep_freed_memory
from kindred import progress
from trainer.data.pairs import Pairs, TrainingPairs
from trainer.epochs import EPOCHS, Epochs, History, Monitor
from trainer.gradient.descent import Descent, diverged
from trainer.judge import Judge
from trainer.model.network import GLOBAL_BIAS, LEFT_VECTORS, RIGHT_VECTORS, build_model
from trainer.model.table_sizes import TableSizes
from trainer.settings import RMSE, EncodeSettings, ModelSettings, TrainSettings, has_solver
from trainer.training import calibration, devices, memory
from trainer.training.alternation import Alternation
from trainer.training.warm_start import WarmStart

__all__ = ["History", "TrainingFolders", "fit", "monitored"]


@dataclasses.dataclass(frozen=True)
class TrainingFolders:
    """Where a training saves its epochs.

    Attributes:
      epochs: the directory from which an interrupted training resumes. It must be used for the same training only.
      curves: the directory of TensorBoard event files.
    """

    epochs: str | None = None
    curves: str | None = None


def monitored(encode: EncodeSettings, model: ModelSettings, metric: str) -> Monitor:
    """Returns the measure of held-out rows that chooses the epoch.

    Args:
      encode: section `encode` of the pipeline file. With several hashes, rows are no vectors of entities to rank.
      model: section `model` of the pipeline file.
      metric: `rmse` for pairs with scores, otherwise a ranking metric.
    """
    if metric != RMSE and encode.oov_hashes == 1:
        return Monitor(f"val_{metric}", rising=True)
    return _of_labels(model)


def _of_labels(model: ModelSettings) -> Monitor:
    return Monitor("val_rmse" if model.objective == "regression" else "val_loss")


def fit(
    train: TrainingPairs,
    sizes: TableSizes,
    model: ModelSettings,
    settings: TrainSettings,
    folders: TrainingFolders = TrainingFolders(),
    start: WarmStart | None = None,
    metric: str = "ndcg@10",
    zero_point: float | None = None,
    held: Pairs | None = None,
) -> tuple[keras.Model, History]:
    """Trains a model, and keeps the epoch that is best on held-out rows. Positives are ranked, labels predicted.

    Args:
      train: the training pairs.
      sizes: the sizes of the embedding tables.
      model: section `model` of the pipeline file.
      settings: section `train` of the pipeline file.
      folders: where epochs are saved.
      start: a base model to start from, or None.
      metric: the ranking metric that chooses the epoch of a model of positives.
      zero_point: the score that separates positives from random pairs, or None to estimate it.
      held: the rows that choose the epoch. None holds out some of `train`.

    Returns:
      The model, and a value per epoch of each metric.

    Raises:
      TrainingTooLarge: the model would not fit in memory.
      TrainingDiverged: the loss or a weight became infinite or NaN.
    """
    memory.check(sizes, model, settings, len(train), streamed=not isinstance(train, Pairs))
    if not has_solver(model.objective, settings.optimizer):
        keep_freed_memory()
    keras.utils.set_random_seed(settings.seed)
    kept, validation = _with_validation(train, settings, sizes.shared, held)
    positives = _learned_from_positives(kept, model)
    judge = None
    if validation is not None and positives and sizes.numberings is None:
        judge = Judge(metric, kept, validation, sizes.entities, sizes.shared, settings.seed)
    strategy = devices.strategy_of(settings.devices)
    with strategy.scope():
        network = build_model(sizes, model, settings.seed)
    engine = (
        Alternation(network, kept, sizes, model, settings)
        if has_solver(model.objective, settings.optimizer)
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
            monitor=Monitor(judge.name, rising=True) if judge else _of_labels(model),
            curves=folders.curves,
            # The chief writes to a shared directory. Each worker writes to its own temporary directory.
            writes=devices.is_chief(strategy) or folders.epochs is None,
        )
        with progress.counted(EPOCHS, settings.epochs - epochs.done):
            engine.run(validation, judge, epochs)
        # The loss of an epoch is measured before its last step, so it does not show the effect of that step.
        if not engine.finite:
            raise diverged("a weight became infinite or NaN", epochs.done, settings.learning_rate)
        epochs.restore_best()
    engine.settle()
    _clear_untouched_rows(network, kept, sizes, start)
    if positives:
        if zero_point is None:
            zero_point = _zero_point(network, kept if validation is None else validation, settings)
        _shift(network, zero_point)
    return network, epochs.history


def _with_validation(
    train: TrainingPairs, settings: TrainSettings, unordered: bool, held: Pairs | None
) -> tuple[TrainingPairs, Pairs | None]:
    if settings.early_stopping is None or held is not None or len(train) < 2:
        return train, held if settings.early_stopping else None
    return train.hold_out(settings.early_stopping.validation_fraction, settings.seed, unordered)


@contextlib.contextmanager
def _epochs_folder(folders: TrainingFolders, needed: bool) -> Iterator[str | None]:
    """Yields the directory for epochs: the given one, or a temporary one if the best epoch must be restored."""
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
    """Sets rows without a training pair, here or in `start`, to zero. Most are out-of-vocabulary rows.

    Such rows still have random initial values, and an id without training pairs must be neutral: its score is the bias
    of its partner. Biases start at zero and stay there.
    """
    left, right = sizes.touched(*(occurrences > 0 for occurrences in seen.occurrences(sizes.entities)))
    touched = {LEFT_VECTORS: left | right} if sizes.shared else {LEFT_VECTORS: left, RIGHT_VECTORS: right}
    for name, rows in touched.items():
        if start:
            rows = rows | start.kept(name)
        # By row, because a copy of a table may not fit in memory.
        table = network.get_layer(name).embeddings.value
        others = np.flatnonzero(~rows)
        table.scatter_update(tf.IndexedSlices(tf.zeros((len(others), table.shape[1])), tf.constant(others)))


def _zero_point(network: keras.Model, pairs: TrainingPairs, settings: TrainSettings) -> float:
    """Returns the score that separates pairs of the data from random pairs."""
    some = pairs.sample(np.random.default_rng(settings.seed), calibration.PAIRS)
    observed, random = calibration.random_pairs(some.left, some.right, settings.seed)
    of_observed, of_random = (
        np.asarray(network([left[:, None], right[:, None]]))[:, 0] for left, right in (observed, random)
    )
    return calibration.zero_point(of_observed, of_random, some.weight)


def _shift(network: keras.Model, zero_point: float) -> None:
    """Shifts all scores so that `zero_point` becomes 0."""
    layer = network.get_layer(GLOBAL_BIAS)
    (offset,) = layer.get_weights()
    layer.set_weights([offset - np.float32(zero_point)])
