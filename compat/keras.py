"""Keras: the private parts that training on several devices and updates by row need.

Versions: keras 3.15, and 3.12 on Python 3.10. Where a name is gone, training takes the supported way: Keras's own
optimizers, which write whole tables, and one device in place of several. Both are slower.

Reason: an optimizer of this project updates only the rows that a batch touches, and must know which of its variables
it is given. Keras's own optimizers update every row (https://github.com/keras-team/keras/issues/19992). And `fit` on
several devices averages a batch over them to build the model from it, which fails for batches of ids.

Upstream: `keras/src/optimizers/base_optimizer.py` and `keras/src/backend/tensorflow/trainer.py`.
"""

from __future__ import annotations

import keras
import tensorflow as tf


def has_variable_index() -> bool:
    """Whether `variable_index` works with the installed Keras."""
    return hasattr(keras.optimizers.Optimizer, "_get_variable_index")


def variable_index(optimizer: keras.optimizers.Optimizer, variable: tf.Variable) -> int:
    """The place of `variable`, or of what it is the copy of on one of several devices, among those of `optimizer`."""
    index: int = optimizer._get_variable_index(variable)
    return index


def trains_on_several_devices() -> bool:
    """Whether `BuiltModel` works with the installed Keras."""
    return hasattr(keras.Model, "_maybe_symbolic_build")


class BuiltModel(keras.Model):
    """A model whose layers are built before `fit`: Keras need not build it from a batch."""

    def __init__(self, name: str) -> None:
        super().__init__(name=name)
        self.built = True

    def _maybe_symbolic_build(self, iterator: object = None, data_batch: object = None) -> None:
        """Does nothing."""
