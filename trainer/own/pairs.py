"""The training pairs as rows of tables."""

from __future__ import annotations

import dataclasses
import tempfile

import numpy as np
from tfx.components.trainer.fn_args_utils import FnArgs

from trainer import features
from trainer.data import dataset
from trainer.data.examples import Examples, of_split
from trainer.data.pairs import Pairs
from trainer.data.transform_graph import TransformGraph
from trainer.model.table_sizes import TableSizes, table_sizes
from trainer.settings import training_settings

_ALL = 1 << 62


@dataclasses.dataclass(frozen=True)
class TrainingPairs:
    """The train split, with ids as rows of a table for each side.

    Attributes:
      left: row of the left id of each pair, int32 `[n]`.
      right: row of the right id of each pair, int32 `[n]`.
      label: float32 `[n]`. Scores are centered and scaled as section `score` says. 1 for pairs without scores.
      weight: float32 `[n]`, or None if all pairs count the same.
      left_ids: row i of the left table belongs to id i. Rows after the ids are for unknown ids.
      right_ids: the same for the right table.
      left_rows: the number of rows of the left table.
      right_rows: the number of rows of the right table.
      shared: whether both sides use the left table (encode.shared).
    """

    left: np.ndarray
    right: np.ndarray
    label: np.ndarray
    weight: np.ndarray | None
    left_ids: list[bytes]
    right_ids: list[bytes]
    left_rows: int
    right_rows: int
    shared: bool


def read_pairs(fn_args: FnArgs) -> TrainingPairs:
    """Reads the train split into memory.

    Args:
      fn_args: the argument of `run_fn`.
    """
    encode, _, _ = training_settings(fn_args.custom_config)
    transform, sizes = TransformGraph(fn_args.transform_output), sizes_of(fn_args)
    (pattern,) = fn_args.train_files
    with tempfile.TemporaryDirectory() as unused:
        examples = Examples(of_split(pattern))
        pairs = dataset.load(examples, transform.transform_features_layer(), _ALL, unused, encode.shared)
    assert isinstance(pairs, Pairs)
    ids = [list(transform.vocabulary_by_name(name)) for name in features.vocabulary_names(encode.shared)]
    return TrainingPairs(
        pairs.left, pairs.right, pairs.label, pairs.weight, ids[0], ids[1], sizes.left, sizes.right, encode.shared
    )


def sizes_of(fn_args: FnArgs) -> TableSizes:
    """Returns the number of rows of each table."""
    encode, _, _ = training_settings(fn_args.custom_config)
    return table_sizes(TransformGraph(fn_args.transform_output), encode)
