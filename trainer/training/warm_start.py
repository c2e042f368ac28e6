"""Starts training from an earlier published model: ids keep their vectors, even if their rows change.

Ids are matched through both vocabularies, all of a side at once. Known ids keep their vector and bias. New ids start as
in any training. Ids that are gone are dropped. Out-of-vocabulary rows are kept if the numbers of rows and hashes are
unchanged, because then the same ids share them.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import keras
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import tensorflow as tf

from trainer import features
from trainer.data.transform_graph import TransformGraph
from trainer.export.unit import Unit, unit_of
from trainer.model.network import GLOBAL_BIAS, LEFT_BIAS, LEFT_VECTORS, RIGHT_BIAS, RIGHT_VECTORS
from trainer.model.table_sizes import TableSizes
from trainer.settings import ModelSettings
from trainer.training.base_model import BaseModel, BaseSide, ColdStart, read_model, read_vocabulary

WARM_START_FILE = "warm_start.json"

NO_BASE = "no model of other examples has been blessed"
_FRESH = -1


@dataclasses.dataclass(frozen=True)
class Counts:
    """The numbers of ids of a side that the base model knows, that are new, and that are gone."""

    kept: int
    new: int
    vanished: int


@dataclasses.dataclass(frozen=True)
class Alignment:
    """The old row of each row of a new table, int64 `[rows]`, or -1 if it is new."""

    rows: np.ndarray
    counts: Counts

    @property
    def kept(self) -> np.ndarray:
        """Whether each row is kept, bool `[rows]`."""
        return self.rows != _FRESH


@dataclasses.dataclass(frozen=True)
class WarmStart:
    """A base model, matched with the tables of a new network."""

    base: BaseModel
    left: Alignment
    right: Alignment
    objective: str
    unit: Unit

    def apply(self, network: keras.Model) -> None:
        """Copies kept rows to the tables of `network`.

        For regression, scores have a unit: value = score * scale + center. If the new data has another center or scale,
        the same score means another value. To keep the values of the base model, its scores are converted:

            score' = (score * scale + center - center') / scale'

        Vectors are multiplied by the square root of r = scale / scale', biases by r, and the offset is shifted. With an
        unchanged unit, all numbers stay equal to the bit. A model without biases has no offset to shift, and with
        `normalize` vectors have no length to change. In these cases, training has to adapt.
        """
        ratio, shift = self._change_of_unit()
        layers = {layer.name: layer for layer in network.layers}
        for name, side, alignment in self._tables():
            if name not in layers:
                continue
            if name in (LEFT_VECTORS, RIGHT_VECTORS):
                _put(layers[name], side.vectors, alignment, ratio**0.5)
            else:
                _put(layers[name], side.bias[:, None], alignment, ratio)
        if GLOBAL_BIAS in layers and layers[GLOBAL_BIAS].trainable:
            layers[GLOBAL_BIAS].set_weights([np.float32(self.base.offset * ratio + shift)])

    def kept(self, layer: str) -> np.ndarray:
        """Returns which rows of the table of vectors `layer` come from the base model, bool `[rows]`."""
        return (self.left if layer == LEFT_VECTORS else self.right).kept

    def _tables(self) -> tuple[tuple[str, BaseSide, Alignment], ...]:
        left, right = (self.base.left, self.left), (self.base.right, self.right)
        return (LEFT_VECTORS, *left), (RIGHT_VECTORS, *right), (LEFT_BIAS, *left), (RIGHT_BIAS, *right)

    def _change_of_unit(self) -> tuple[float, float]:
        if self.objective != "regression":
            return 1.0, 0.0
        old, new = self.base.unit, self.unit
        return old.scale / new.scale, (old.center - new.center) / new.scale


def _put(layer: keras.layers.Layer, values: np.ndarray, alignment: Alignment, factor: float) -> None:
    """Replaces the kept rows of the layer's table with those of `values` `[old rows, width]`."""
    places = np.flatnonzero(alignment.kept)
    kept = values[alignment.rows[places]]
    if factor != 1:
        kept *= np.float32(factor)
    layer.embeddings.value.scatter_update(tf.IndexedSlices(tf.constant(kept), tf.constant(places)))


def from_published(
    directory: str | None, transform: TransformGraph, sizes: TableSizes, model: ModelSettings
) -> tuple[WarmStart | None, dict[str, Any]]:
    """Prepares a warm start from a published model.

    Args:
      directory: the SavedModel, or None if there is no base model.
      transform: the transform graph with the new vocabularies.
      sizes: the sizes of the new tables.
      model: section `model` of the pipeline file.

    Returns:
      The warm start, or None for a cold start, and a record for people. The record has `base_model`, the directory, and
        either `left` and `right`, the numbers of kept, new and vanished ids, or `cold`, the reason of a cold start.
    """
    files = (transform.vocabulary_file_by_name(name) for name in features.vocabulary_names(sizes.shared))
    try:
        if directory is None:
            raise ColdStart(NO_BASE)
        left, right = (read_vocabulary(file) for file in files)
        base = read_model(directory)
        start = prepare(
            base, (left, right), (sizes.left, sizes.right), sizes.shared, model, unit_of(transform), sizes.hashes
        )
    except ColdStart as reason:
        return None, {"base_model": directory, "cold": str(reason)}
    sides = {"left": start.left, "right": start.right}
    counts = {side: dataclasses.asdict(alignment.counts) for side, alignment in sides.items()}
    return start, {"base_model": directory, **counts}


def prepare(
    base: BaseModel, vocabularies: tuple[pa.Array, pa.Array], rows: tuple[int, int], shared: bool, model: ModelSettings,
    unit: Unit, hashes: int = 1,
) -> WarmStart:  # fmt: skip
    """Matches `base` with new tables.

    Args:
      base: the base model.
      vocabularies: the ids of both sides, the same twice if `shared`.
      rows: the sizes of both tables.
      shared: whether both sides use one table.
      model: section `model` of the pipeline file.
      unit: of the new labels.
      hashes: the number of rows of each unknown id.

    Raises:
      ColdStart: the base model has another dimension, or only one of both models shares its table.
    """
    dimension = base.left.vectors.shape[1]
    if dimension != model.dimension:
        raise ColdStart(f"the base model has dimension {dimension}, but model.dimension is {model.dimension}")
    if base.shared != shared:
        tables = ("two tables", "one table for both sides")
        raise ColdStart(f"the base model has {tables[base.shared]}, but encode.shared requires {tables[shared]}")
    same = base.hashes == hashes
    left = align(base.left, vocabularies[0], rows[0], same)
    right = left if shared else align(base.right, vocabularies[1], rows[1], same)
    return WarmStart(base, left, right, model.objective, unit)


def align(side: BaseSide, ids: pa.Array, rows: int, same_hashes: bool = True) -> Alignment:
    """Finds the ids of a new table among those of `side`.

    Args:
      side: of the base model.
      ids: large_binary `[v]`, the new vocabulary.
      rows: the number of rows of the new table.
      same_hashes: whether both models use the same number of hashes.
    """
    found = pc.index_in(ids, value_set=side.ids)
    old = np.full(rows, _FRESH, np.int64)
    old[: len(ids)] = found.fill_null(_FRESH).to_numpy()
    kept = len(ids) - found.null_count
    buckets = rows - len(ids)
    if same_hashes and buckets == len(side.vectors) - len(side.ids):
        old[len(ids) :] = np.arange(len(side.ids), len(side.vectors))
    return Alignment(old, Counts(kept, found.null_count, len(side.ids) - kept))
