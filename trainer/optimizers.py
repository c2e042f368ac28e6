"""Optimizers by the names that a pipeline file uses."""

from __future__ import annotations

from collections.abc import Callable

import keras

from trainer.settings import TrainSettings

_OPTIMIZERS: dict[str, Callable[..., keras.optimizers.Optimizer]] = {
    "adagrad": keras.optimizers.Adagrad,
    "adam": keras.optimizers.Adam,
    "sgd": keras.optimizers.SGD,
}

# The gradient of a row is a mean over the batch, of the order of 1e-4 for a row that few pairs touch: Keras's initial
# accumulator of 0.1 would drown it, and the first epochs would learn next to nothing.
_OPTIONS: dict[str, dict[str, float]] = {"adagrad": {"initial_accumulator_value": 1e-8}}


def build_optimizer(settings: TrainSettings) -> keras.optimizers.Optimizer:
    """The optimizer that `settings` names, at its learning rate.

    Raises:
      ValueError: the name is unknown.
    """
    try:
        optimizer = _OPTIMIZERS[settings.optimizer]
    except KeyError:
        raise ValueError(f"unknown optimizer {settings.optimizer!r}; known: {', '.join(_OPTIMIZERS)}") from None
    return optimizer(learning_rate=settings.learning_rate, **_OPTIONS.get(settings.optimizer, {}))
