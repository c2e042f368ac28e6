"""Optimizers whose cost grows with the batch instead of the vocabulary.

The gradient of an embedding table is sparse: a list of rows. The optimizers of Keras convert it to a table, and read
and write every row in each step. These optimizers update only the rows of the batch. All other rows stay equal to the
bit. Dense gradients, such as that of the offset, are updated as in Keras.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping

import keras
import tensorflow as tf

from compat.keras import has_variable_index, variable_index
from trainer.settings import TrainSettings

# The gradient of a row is a mean over the batch, about 1e-4 for a row with few pairs. The initial accumulator of Keras,
# 0.1, is far larger, so the first epochs would learn almost nothing.
_INITIAL_ACCUMULATOR = 1e-8


def sum_by_row(gradient: tf.IndexedSlices) -> tf.IndexedSlices:
    """Returns `gradient` with one entry per row, the sum of the entries of that row."""
    rows, places = tf.unique(gradient.indices)
    values = tf.math.unsorted_segment_sum(gradient.values, places, tf.size(rows))
    return tf.IndexedSlices(values, rows, gradient.dense_shape)


class _SparseOptimizer(keras.optimizers.Optimizer):
    """Updates rows with `_direction`: row := row - learning rate * direction."""

    def update_step(
        self, gradient: tf.Tensor | tf.IndexedSlices, variable: tf.Variable, learning_rate: tf.Tensor
    ) -> None:
        """Updates the rows of `variable` in a sparse `gradient`, or all rows for a dense one."""
        rate = tf.cast(learning_rate, variable.dtype)
        place = variable_index(self, variable)
        if isinstance(gradient, tf.IndexedSlices):
            touched = sum_by_row(gradient)
            direction = self._direction(touched.values, place, touched.indices)
            variable.scatter_sub(tf.IndexedSlices(rate * direction, touched.indices))
        else:
            variable.assign_sub(rate * self._direction(tf.convert_to_tensor(gradient), place, None))

    def _direction(self, gradient: tf.Tensor, place: int, rows: tf.Tensor | None) -> tf.Tensor:
        """Returns the update direction for `gradient` of the variable at `place`.

        The gradient is `[touched, ...]` for `rows`, or the whole variable if `rows` is None.
        """
        raise NotImplementedError

    def _slots(self, variables: list[keras.Variable], name: str, initial: float = 0.0) -> list[keras.Variable]:
        initializer = keras.initializers.Constant(initial)
        return list(self.add_optimizer_variables(variables, name, initializer=initializer))


def _read(slot: keras.Variable, rows: tf.Tensor | None) -> tf.Tensor:
    return tf.convert_to_tensor(slot.value) if rows is None else tf.gather(slot.value, rows)


def _write(slot: keras.Variable, rows: tf.Tensor | None, values: tf.Tensor) -> None:
    if rows is None:
        slot.value.assign(values)
    else:
        slot.value.scatter_update(tf.IndexedSlices(values, rows))


class SparseSGD(_SparseOptimizer):
    """Stochastic gradient descent: row -= learning rate * gradient (Robbins & Monro 1951)."""

    def _direction(self, gradient: tf.Tensor, place: int, rows: tf.Tensor | None) -> tf.Tensor:
        return gradient


class RowwiseAdagrad(_SparseOptimizer):
    """Adagrad (Duchi, Hazan & Singer 2011) with one accumulator per row.

        accumulator += mean over the row of gradient^2
        row -= learning rate * gradient / sqrt(accumulator + epsilon)

    The accumulators need one number per row instead of a second table (Gupta et al. 2014, "Training highly multiclass
    classifiers", section 4.1, and the row-wise Adagrad of TorchRec).

    Args:
      learning_rate: the step size.
      initial_accumulator_value: the initial value of each accumulator.
      epsilon: avoids division by zero.
      name: of the optimizer.
      kwargs: of the Keras optimizer.
    """

    def __init__(
        self,
        learning_rate: float,
        initial_accumulator_value: float = _INITIAL_ACCUMULATOR,
        epsilon: float = 1e-7,
        name: str = "rowwise_adagrad",
        **kwargs: object,
    ) -> None:
        super().__init__(learning_rate=learning_rate, name=name, **kwargs)
        self.initial_accumulator_value = initial_accumulator_value
        self.epsilon = epsilon

    def build(self, variables: list[keras.Variable]) -> None:
        """Creates an accumulator of shape `[rows, 1]` for each table and `[]` for each scalar."""
        if self.built:
            return
        super().build(variables)
        self._accumulators = []
        for variable in variables:
            shape = tuple(size if axis == 0 else 1 for axis, size in enumerate(variable.shape))
            with tf.distribute.get_strategy().extended.colocate_vars_with(variable.value):
                self._accumulators.append(
                    self.add_variable(
                        shape,
                        initializer=keras.initializers.Constant(self.initial_accumulator_value),
                        dtype=variable.dtype,
                        name="accumulator",
                    )
                )

    def _direction(self, gradient: tf.Tensor, place: int, rows: tf.Tensor | None) -> tf.Tensor:
        axes = list(range(1, len(gradient.shape)))
        squares = tf.square(gradient)
        accumulator = _read(self._accumulators[place], rows)
        accumulator += tf.reduce_mean(squares, axis=axes, keepdims=True) if axes else squares
        _write(self._accumulators[place], rows, accumulator)
        return gradient * tf.math.rsqrt(accumulator + self.epsilon)


class LazyAdam(_SparseOptimizer):
    """Adam (Kingma & Ba 2015, algorithm 1) that updates moments only for the rows of the batch.

    The bias correction counts all steps, as LazyAdam of TensorFlow Addons does.

    Args:
      learning_rate: the step size.
      beta_1: the decay of the first moment.
      beta_2: the decay of the second moment.
      epsilon: avoids division by zero.
      name: of the optimizer.
      kwargs: of the Keras optimizer.
    """

    def __init__(
        self,
        learning_rate: float,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        name: str = "lazy_adam",
        **kwargs: object,
    ) -> None:
        super().__init__(learning_rate=learning_rate, name=name, **kwargs)
        self.beta_1, self.beta_2, self.epsilon = beta_1, beta_2, epsilon

    def build(self, variables: list[keras.Variable]) -> None:
        """Creates both moments of each variable, in its shape."""
        if self.built:
            return
        super().build(variables)
        self._momentums = self._slots(variables, "momentum")
        self._velocities = self._slots(variables, "velocity")

    def _direction(self, gradient: tf.Tensor, place: int, rows: tf.Tensor | None) -> tf.Tensor:
        step = tf.cast(self.iterations.value + 1, gradient.dtype)
        correction = tf.sqrt(1 - tf.pow(self.beta_2, step)) / (1 - tf.pow(self.beta_1, step))
        momentum = _read(self._momentums[place], rows)
        momentum += (gradient - momentum) * (1 - self.beta_1)
        velocity = _read(self._velocities[place], rows)
        velocity += (tf.square(gradient) - velocity) * (1 - self.beta_2)
        _write(self._momentums[place], rows, momentum)
        _write(self._velocities[place], rows, velocity)
        return correction * momentum / (tf.sqrt(velocity) + self.epsilon)


_OPTIMIZERS: dict[str, type[_SparseOptimizer]] = {"adagrad": RowwiseAdagrad, "adam": LazyAdam, "sgd": SparseSGD}
_OF_KERAS: dict[str, Callable[..., keras.optimizers.Optimizer]] = {
    "adagrad": functools.partial(keras.optimizers.Adagrad, initial_accumulator_value=_INITIAL_ACCUMULATOR),
    "adam": keras.optimizers.Adam,
    "sgd": keras.optimizers.SGD,
}


def build_optimizer(settings: TrainSettings) -> keras.optimizers.Optimizer:
    """Returns the optimizer for section `train` of the pipeline file.

    Raises:
      ValueError: the name is unknown.
    """
    known: Mapping[str, Callable[..., keras.optimizers.Optimizer]]
    known = _OPTIMIZERS if has_variable_index() else _OF_KERAS
    try:
        optimizer = known[settings.optimizer]
    except KeyError:
        raise ValueError(f"unknown optimizer {settings.optimizer!r}. Choose from {', '.join(known)}") from None
    return optimizer(learning_rate=settings.learning_rate)
