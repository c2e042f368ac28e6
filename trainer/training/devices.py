"""Where training runs: on one device, on all of this machine, or on several machines."""

from __future__ import annotations

import functools
from typing import Literal

import keras
import tensorflow as tf
from absl import logging

from compat.keras import trains_on_several_devices


# One for the process: TensorFlow (2.21) numbers the exchanges of each strategy from the same number on, and takes those
# of a second one, whose tables may have other shapes, for those of the first (the Tuner's trials are such trainings).
@functools.cache
def strategy_of(devices: Literal["one", "all", "workers"]) -> tf.distribute.Strategy:
    """TensorFlow's strategy for `train.devices`, the same for every training of this process.

    `one` is the default strategy; `all` mirrors the tables on every GPU of this machine (without one, on every logical
    CPU); `workers` on every worker that the variable TF_CONFIG names, which TensorFlow reads itself. With a Keras that
    cannot train on several devices, all mean `one`.
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
    """Whether this process is the one that writes."""
    resolver = strategy.cluster_resolver
    return resolver is None or resolver.task_id in (None, 0)
