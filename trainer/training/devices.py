"""The devices of training: one device, all devices of this machine, or several machines."""

from __future__ import annotations

import functools
from typing import Literal

import keras
import tensorflow as tf
from absl import logging

from compat.keras import trains_on_several_devices


# One per process. TensorFlow 2.21 numbers the collective operations of each strategy from the same start, and confuses
# those of a second strategy, whose tables may have other shapes, with those of the first. The trials of the Tuner are
# such trainings.
@functools.cache
def strategy_of(devices: Literal["one", "all", "workers"]) -> tf.distribute.Strategy:
    """Returns TensorFlow's strategy for `train.devices`, the same for every training of this process.

    Args:
      devices: `one` is the default strategy. `all` mirrors the tables on every GPU of this machine, or on every logical
        CPU without a GPU. `workers` mirrors them on every worker in the variable TF_CONFIG, which TensorFlow reads. If
        Keras cannot train on several devices, all values mean `one`.
    """
    if devices != "one" and not trains_on_several_devices():
        logging.warning("train.devices %s: Keras %s trains on one device only", devices, keras.__version__)
        return tf.distribute.get_strategy()
    if devices == "all":
        kind = "GPU" if tf.config.list_logical_devices("GPU") else "CPU"
        return tf.distribute.MirroredStrategy([device.name for device in tf.config.list_logical_devices(kind)])
    if devices == "workers":
        return tf.distribute.MultiWorkerMirroredStrategy()
    return tf.distribute.get_strategy()


def is_chief(strategy: tf.distribute.Strategy) -> bool:
    """Whether this process writes files."""
    resolver = strategy.cluster_resolver
    return resolver is None or resolver.task_id in (None, 0)
