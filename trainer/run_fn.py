"""What the Trainer node runs: load, fit, export, and leave a record of the training."""

from __future__ import annotations

import json
import os

import tensorflow as tf
import tensorflow_transform as tft
from tfx.components.trainer.fn_args_utils import FnArgs

from trainer import dataset, export, features, training
from trainer.model import TableSizes
from trainer.settings import EncodeSettings, training_settings

HISTORY_FILE = "history.json"


def run_fn(fn_args: FnArgs) -> None:
    """Trains on the train split and writes the SavedModel to `fn_args.serving_model_dir`.

    Raises:
      TrainingDiverged: the loss became infinite or NaN.
    """
    encode, model, train = training_settings(fn_args.custom_config)
    transform = tft.TFTransformOutput(fn_args.transform_output)
    scored = features.SCORE in transform.raw_feature_spec()
    pairs = dataset.load(fn_args.train_files, transform.transform_features_layer(), scored)
    network, history = training.fit(pairs, table_sizes(transform, encode), model, train)
    export.export(network, transform, encode.shared, fn_args.serving_model_dir)
    _write_history(fn_args.model_run_dir, history)


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
