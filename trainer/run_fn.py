"""What the Trainer node runs: load, fit, export, and leave a record of the training."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile

import tensorflow as tf
import tensorflow_transform as tft
from tfx.components.trainer.fn_args_utils import FnArgs

from trainer import dataset, export, features, training
from trainer.model import TableSizes
from trainer.settings import EncodeSettings, training_settings

HISTORY_FILE = "history.json"


def run_fn(fn_args: FnArgs) -> None:
    """Trains on the train split and writes the SavedModel to `fn_args.serving_model_dir`.

    A training that was killed is taken up where it stopped; what it needs for that is removed once the model is whole.

    Raises:
      TrainingTooLarge: the model would not fit in memory.
      TrainingDiverged: the loss became infinite or NaN.
    """
    encode, model, train = training_settings(fn_args.custom_config)
    transform = tft.TFTransformOutput(fn_args.transform_output)
    unfinished = _unfinished(fn_args)
    places = training.Places(epochs=os.path.join(unfinished, _digest(fn_args)), curves=fn_args.model_run_dir)
    with tempfile.TemporaryDirectory(prefix="kindred-pairs-") as directory:
        encoder = transform.transform_features_layer()
        pairs = dataset.load(fn_args.train_files, encoder, train.data_memory_mb << 20, directory)
        network, history = training.fit(pairs, table_sizes(transform, encode), model, train, places)
    export.export(network, transform, encode.shared, fn_args.serving_model_dir)
    _write_history(fn_args.model_run_dir, history)
    if tf.io.gfile.exists(unfinished):
        tf.io.gfile.rmtree(unfinished)


def _unfinished(fn_args: FnArgs) -> str:
    """Where trainings leave their epochs until they are done: beside the places of all runs of this node."""
    return os.path.join(os.path.dirname(os.path.dirname(fn_args.model_run_dir.rstrip("/"))), "unfinished")


def _digest(fn_args: FnArgs) -> str:
    """The same for the same training, and no other: of its settings, its code and the artifacts it learns from."""
    of = [fn_args.custom_config, fn_args.train_files, fn_args.transform_output, fn_args.base_model]
    return hashlib.sha256(json.dumps(of, sort_keys=True).encode()).hexdigest()[:16]


def table_sizes(transform: tft.TFTransformOutput, encode: EncodeSettings) -> TableSizes:
    """Rows of each table: one for every vocabulary entry, then the out-of-vocabulary buckets."""
    left, right = (
        transform.vocabulary_size_by_name(name) + encode.oov_buckets
        for name in features.vocabulary_names(encode.shared)
    )
    return TableSizes(left, right, encode.shared)


def _write_history(directory: str, history: training.History) -> None:
    tf.io.gfile.makedirs(directory)
    with tf.io.gfile.GFile(os.path.join(directory, HISTORY_FILE), "w") as file:
        json.dump(history, file)
