"""Keras: private names that training on several devices and row-wise updates need.

Versions: keras 3.15, and 3.12 on Python 3.10. If a name is gone, training uses Keras's own optimizers, which write
whole tables, or one device instead of several. Both are slower.

Reason: the optimizers of this project update only the rows of a batch, and must identify their variables. Keras's own
optimizers update every row (https://github.com/keras-team/keras/issues/19992). In addition, `fit` on several devices
averages a batch over them to build the model from it, which fails for batches of ids.

Upstream: `keras/src/optimizers/base_optimizer.py` and `keras/src/backend/tensorflow/trainer.py`.
"""

from __future__ import annotations

import keras
import tensorflow as tf


def has_variable_index() -> bool:
    """Returns whether `variable_index` works with the installed Keras."""
    return hasattr(keras.optimizers.Optimizer, "_get_variable_index")


def variable_index(optimizer: keras.optimizers.Optimizer, variable: tf.Variable) -> int:
    """Returns the index of `variable` among those of `optimizer`. Resolves the copy of a variable on a device."""
    index: int = optimizer._get_variable_index(variable)
    return index


def trains_on_several_devices() -> bool:
    """Returns whether `BuiltModel` works with the installed Keras."""
    return hasattr(keras.Model, "_maybe_symbolic_build")


class BuiltModel(keras.Model):
    """A model whose layers are built before `fit`, so that Keras does not build it from a batch."""

    def __init__(self, name: str) -> None:
        super().__init__(name=name)
        self.built = True

    def _maybe_symbolic_build(self, iterator: object = None, data_batch: object = None) -> None:
        """Does nothing."""
