"""Functions that several signatures of a model share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf


def shared_function(function: Callable[..., Any], *inputs: tf.TensorSpec) -> Callable[..., Any]:
    """Returns `function` as one function of the graph, however many signatures call it.

    A server optimizes all functions of a model for each signature, so each copy costs time at its start.

    Args:
      function: of tensors.
      inputs: the specs of its arguments.
    """
    return called(tf.function(function, input_signature=inputs, autograph=False))


def called(function: Callable[..., Any]) -> Callable[..., Any]:
    """Returns a `tf.function` as a plain function, because the export traces attributes of a model again."""
    return lambda *tensors: function(*tensors)
