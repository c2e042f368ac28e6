"""The contract of a published model, which a trainer of the user's own must keep."""

from __future__ import annotations

import os
from collections.abc import Iterator

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2
from tfx.components.trainer.fn_args_utils import FnArgs

from compat.tensorflow_paths import literal
from errors import InputError, ModelRefused
from trainer import features
from trainer.data.transform_graph import TransformGraph
from trainer.export.tables import read_tables
from trainer.own.pairs import sizes_of
from trainer.settings import training_settings

SIGNATURES = (
    "serving_default", "score", "similar_right", "similar_left", "similar_right_filtered", "similar_left_filtered",
    "neighbors_right", "neighbors_left", "embed_right", "embed_left",
)  # fmt: skip
"""The signatures of every model. The canary calls each of them, and compares the answers with the tables."""


def check(fn_args: FnArgs, name: str) -> None:
    """Checks the files of a model.

    Args:
      fn_args: the argument of `run_fn`.
      name: of the file that wrote the model.

    Raises:
      ModelRefused: the model breaks the contract. The message has every rule that it breaks.
    """
    if broken := list(_broken(fn_args)):
        lines = [f"the model of train.module_file {name} breaks the contract:", *(f"  {rule}" for rule in broken)]
        raise ModelRefused("\n".join([*lines, "trainer.own.write_model writes a model that keeps it."]))


def _broken(fn_args: FnArgs) -> Iterator[str]:
    directory = fn_args.serving_model_dir
    graph = os.path.join(literal(directory), "saved_model.pb")
    if not tf.io.gfile.exists(graph):
        yield "run_fn must write a SavedModel to fn_args.serving_model_dir (there is none)"
        return
    with tf.io.gfile.GFile(graph, "rb") as file:
        saved = saved_model_pb2.SavedModel.FromString(file.read())
    found = {signature for meta in saved.meta_graphs for signature in meta.signature_def}
    if missing := [signature for signature in SIGNATURES if signature not in found]:
        yield f"the model must have the signatures {', '.join(SIGNATURES)} (without {', '.join(missing)})"
    yield from _broken_tables(fn_args)


def _broken_tables(fn_args: FnArgs) -> Iterator[str]:
    try:
        tables = read_tables(fn_args.serving_model_dir)
    except (InputError, tf.errors.OpError, ValueError, RuntimeError):
        yield "the variables of the model must have the names of trainer.export.published_model.PublishedModel"
        return
    encode, _, _ = training_settings(fn_args.custom_config)
    transform, sizes = TransformGraph(fn_args.transform_output), sizes_of(fn_args)
    names = features.vocabulary_names(encode.shared)
    for side, name, rows in (("left", names[0], sizes.left), ("right", names[1], sizes.right)):
        table = getattr(tables, side)
        if table.ids.to_pylist() != list(transform.vocabulary_by_name(name)):
            yield f"the {side} ids must be those of the transform graph, in its order"
        if len(table.vectors) != rows or len(table.bias) != rows:
            yield f"the {side} tables must have {rows:,} rows (got {len(table.vectors):,} and {len(table.bias):,})"
        if not (np.isfinite(table.vectors).all() and np.isfinite(table.bias).all()):
            yield f"all numbers of the {side} tables must be finite"
    if tables.left.vectors.shape[1] != tables.right.vectors.shape[1]:
        yield "left and right vectors must have the same dimension"
