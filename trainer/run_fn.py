"""The function of the Trainer node: loads pairs, fits a model, exports it, and records the training."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf
from tfx.components.trainer.fn_args_utils import FnArgs

from storage import disk
from trainer.data import dataset, hashing
from trainer.data.examples import Examples, of_split
from trainer.data.pairs import Pairs
from trainer.data.transform_graph import TransformGraph
from trainer.epochs import HISTORY_FILE
from trainer.export import projector, saved_model
from trainer.export.published_model import NO_LIMITS
from trainer.model.table_sizes import TableSizes, table_sizes
from trainer.own import module
from trainer.search.choice import CHOICE_FILE, Choice, choose
from trainer.settings import TrainSettings, training_settings, with_values
from trainer.training import described, fitting, loading, memory, warm_start
from trainer.training.fold_in import learn_fold_in


def run_fn(fn_args: FnArgs) -> None:
    """Trains on the train split and writes the SavedModel.

    An interrupted training resumes. Its saved epochs are removed once the model is complete.

    Args:
      fn_args: the arguments of TFX. Uses the train files, the transform output, the base model, the best
        hyperparameters, and the output directories `serving_model_dir` and `model_run_dir`.

    Raises:
      TrainingTooLarge: the model would not fit in memory.
      TrainingDiverged: the loss became infinite or NaN.
      DiskFull: the model would not fit on the disk.
      TrainingError, ModelRefused: the file of train.module_file failed, or its model breaks the contract.
    """
    if module.KEY in fn_args.custom_config:
        module.train(fn_args)
        return
    tuned = fn_args.hyperparameters or {}
    encode, model, train = training_settings(with_values(fn_args.custom_config, tuned.get("values", {})))
    transform = TransformGraph(fn_args.transform_output)
    sizes = table_sizes(transform, encode)
    start = None
    if train.warm_start:
        start, record = warm_start.from_published(fn_args.base_model, transform, sizes, model)
        _write_json(fn_args.model_run_dir, warm_start.WARM_START_FILE, record)
    unfinished = _unfinished(fn_args)
    with tempfile.TemporaryDirectory(prefix="kindred-pairs-") as directory:
        encoder = hashing.numbered(transform.transform_features_layer(), sizes.numberings)
        (pattern,) = fn_args.train_files
        examples = Examples(of_split(pattern))
        searched = train.search.active and not tuned
        pairs, streamed = loading.load(examples, encoder, sizes, model, train, directory, searched)
        if streamed:
            _write_json(fn_args.model_run_dir, loading.STREAMING_FILE, {"reason": streamed})
        choice, zero_point = None, tuned.get("zero_point")
        if searched and isinstance(pairs, Pairs):
            choice = _chosen(fn_args, pairs, sizes, train, dataset.times(examples))
            _, model, train = training_settings(with_values(fn_args.custom_config, choice.values))
            _write_json(fn_args.model_run_dir, CHOICE_FILE, choice.to_json())
            zero_point = choice.best.zero_point
        disk.require(fn_args.serving_model_dir, memory.table_bytes(sizes, model), "the tables of the model")
        # Pairs on disk have other held-out rows, so that neither training continues the other.
        epochs = os.path.join(unfinished, _digest(fn_args) + ("-streamed" if streamed else ""))
        folders = fitting.TrainingFolders(epochs, curves=fn_args.model_run_dir)
        network, history = fitting.fit(
            pairs, sizes, model, train, folders, start, fn_args.custom_config["metric"], zero_point
        )
        known_ids = (sizes.left - encode.oov_buckets, sizes.right - encode.oov_buckets)
        fold_in = learn_fold_in(network, pairs, known_ids, model, train.als)
        log_odds = model.log_odds if isinstance(pairs, Pairs) and pairs.is_binary else 0.0
    limits = dataset.score_range(examples) or NO_LIMITS
    sides = fn_args.custom_config.get("features", {})
    known = described.describe(network, transform, fn_args.transform_output, examples, sides, train.seed)
    if known:
        _write_json(fn_args.model_run_dir, described.FEATURES_FILE, described.record(known))
    approximate = fn_args.custom_config.get("approximate", False)
    index = saved_model.export(
        network, transform, encode.shared, fn_args.serving_model_dir, encode.oov_hashes, limits, known, fold_in,
        approximate, log_odds,
    )  # fmt: skip
    if index:
        index.write(fn_args.model_run_dir)
    _write_json(fn_args.model_run_dir, HISTORY_FILE, history)
    projector.write(network, transform, encode.shared, fn_args.model_run_dir)
    if tf.io.gfile.exists(unfinished):
        tf.io.gfile.rmtree(unfinished)


def _chosen(fn_args: FnArgs, pairs: Pairs, sizes: TableSizes, train: TrainSettings, times: np.ndarray | None) -> Choice:
    """Chooses settings. The choice is kept next to the folders of all runs of this node."""
    sections = {name: fn_args.custom_config[name] for name in ("model", "train")}
    folder = os.path.join(_of_node(fn_args), "search")
    metric, how = fn_args.custom_config["metric"], fn_args.custom_config["hold_out"]
    return choose(pairs, sizes, sections, metric, train.search, folder, times, how)


def _unfinished(fn_args: FnArgs) -> str:
    """Returns the directory for epochs of unfinished trainings. It is next to the folders of all runs of this node."""
    return os.path.join(_of_node(fn_args), "unfinished")


def _of_node(fn_args: FnArgs) -> str:
    return os.path.dirname(os.path.dirname(fn_args.model_run_dir.rstrip("/")))


def _digest(fn_args: FnArgs) -> str:
    """Returns a digest of the settings, the code and the input artifacts, which identifies a training."""
    settings = [fn_args.custom_config, fn_args.hyperparameters]
    of = [*settings, fn_args.train_files, fn_args.transform_output, fn_args.base_model]
    return hashlib.sha256(json.dumps(of, sort_keys=True).encode()).hexdigest()[:16]


def _write_json(directory: str, name: str, content: Mapping[str, Any]) -> None:
    tf.io.gfile.makedirs(directory)
    with tf.io.gfile.GFile(os.path.join(directory, name), "w") as file:
        json.dump(content, file)
