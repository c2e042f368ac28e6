"""Writes a model of tables with every signature."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf
from tfx.components.trainer.fn_args_utils import FnArgs

from errors import TrainingError
from trainer.data import dataset
from trainer.data.examples import Examples, of_split
from trainer.data.transform_graph import TransformGraph
from trainer.epochs import HISTORY_FILE
from trainer.export import saved_model
from trainer.export.published_model import NO_LIMITS
from trainer.model.network import GLOBAL_BIAS, LEFT_BIAS, LEFT_VECTORS, RIGHT_BIAS, RIGHT_VECTORS, build_model
from trainer.own.pairs import sizes_of
from trainer.settings import ModelSettings


def write_model(
    fn_args: FnArgs,
    left_vectors: np.ndarray,
    right_vectors: np.ndarray | None = None,
    left_bias: np.ndarray | None = None,
    right_bias: np.ndarray | None = None,
    offset: float = 0.0,
    history: Mapping[str, Sequence[float]] | None = None,
) -> None:
    """Writes the model: score = dot(left vector, right vector) + left bias + right bias + offset.

    Args:
      fn_args: the argument of `run_fn`.
      left_vectors: float `[left_rows, d]`, as `TrainingPairs` counts rows.
      right_vectors: float `[right_rows, d]`. None if both sides use the left table.
      left_bias: float `[left_rows]`. None: zeros.
      right_bias: float `[right_rows]`. None: zeros.
      offset: is added to all scores.
      history: values of the loss and of other measures after each epoch, for the report.

    Raises:
      TrainingError: a table has another shape, or a number that is not finite.
    """
    sizes = sizes_of(fn_args)
    dimension = np.shape(left_vectors)[-1] if np.ndim(left_vectors) == 2 else 0
    shapes = {LEFT_VECTORS: (sizes.left, dimension), LEFT_BIAS: (sizes.left,), RIGHT_BIAS: (sizes.right,)}
    tables = {LEFT_VECTORS: left_vectors, LEFT_BIAS: left_bias, RIGHT_BIAS: right_bias}
    if not sizes.shared:
        shapes[RIGHT_VECTORS], tables[RIGHT_VECTORS] = (sizes.right, dimension), right_vectors
    network = build_model(sizes, ModelSettings(dimension=max(dimension, 1)), seed=0)
    for name, shape in shapes.items():
        table = np.zeros(shape, np.float32) if tables[name] is None and name.endswith("bias") else tables[name]
        values = _checked(name, table, shape)
        network.get_layer(name).set_weights([values.reshape(len(values), -1)])
    network.get_layer(GLOBAL_BIAS).set_weights([_checked("offset", np.asarray(offset), ())])
    (pattern,) = fn_args.train_files
    limits = dataset.score_range(Examples(of_split(pattern))) or NO_LIMITS
    index = saved_model.export(
        network, TransformGraph(fn_args.transform_output), sizes.shared, fn_args.serving_model_dir, scores=limits,
        approximate=fn_args.custom_config.get("approximate", False),
    )  # fmt: skip
    tf.io.gfile.makedirs(fn_args.model_run_dir)
    if index:
        index.write(fn_args.model_run_dir)
    with tf.io.gfile.GFile(os.path.join(fn_args.model_run_dir, HISTORY_FILE), "w") as file:
        json.dump({name: [float(value) for value in values] for name, values in (history or {}).items()}, file)


def _checked(name: str, table: np.ndarray | None, shape: tuple[int, ...]) -> np.ndarray:
    values = np.asarray(np.nan if table is None else table, np.float32)
    if values.shape != shape or 0 in shape[1:]:
        raise TrainingError(f"write_model: {name} must have the shape {list(shape)} (got {list(values.shape)})")
    if not np.isfinite(values).all():
        raise TrainingError(f"write_model: {name} has a number that is not finite")
    return values
