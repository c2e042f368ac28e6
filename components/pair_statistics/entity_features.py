"""Statistics of the features of entities: missing values, and how often each category or tag occurs."""

from __future__ import annotations

import dataclasses
import json
import os

import pyarrow as pa
import pyarrow.compute as pc
import tensorflow as tf

from components.pair_example_gen import files
from components.pair_statistics.distribution import COUNTS
from trainer.data.examples import SIDES
from trainer.entity_features.table import ID, kinds_of, read_table

_FILE = "features.json"
# Features whose values are a limited set.
_LISTED = ("category", "tags")


@dataclasses.dataclass(frozen=True)
class FeatureStatistics:
    """A feature of the entities of a side.

    Attributes:
      entities: the number of entities.
      missing: how many of them have no value.
      values: how often each value of a category or of tags occurs. None for texts and numbers.
    """

    entities: int
    missing: int
    values: dict[str, int] | None

    @property
    def missing_share(self) -> float:
        """The share of entities without a value."""
        return self.missing / max(self.entities, 1)

    def counts(self) -> pa.Table:
        """Returns `values` with schema `COUNTS`."""
        values = self.values or {}
        ids = pa.array([value.encode() for value in values], pa.large_binary())
        return pa.table([ids, pa.array(values.values(), pa.int64())], schema=COUNTS)


def of_examples(examples: str) -> dict[str, FeatureStatistics]:
    """Returns the statistics of each feature by side and name, such as `right_genres`.

    Args:
      examples: URI of the `Examples`.
    """
    found = {}
    for side in SIDES:
        table = read_table(examples, side)
        kinds = kinds_of(examples, side)
        for name in table.schema.names if table is not None else ():
            if name != ID and table is not None:
                column = table[name].combine_chunks()
                values = _values(column) if kinds[name] in _LISTED else None
                found[f"{side}_{name}"] = FeatureStatistics(len(column), column.null_count, values)
    return found


def _values(column: pa.Array) -> dict[str, int]:
    flat = column.flatten() if pa.types.is_large_list(column.type) else column.drop_null()
    return {row["values"].decode(): row["counts"] for row in pc.value_counts(flat).to_pylist()}


def write(found: dict[str, FeatureStatistics], uri: str) -> None:
    """Writes the statistics next to those of the splits. Writes nothing if there are no features."""
    if found:
        with files.whole(os.path.join(uri, _FILE)) as staged, tf.io.gfile.GFile(staged, "w") as out:
            json.dump({name: dataclasses.asdict(one) for name, one in found.items()}, out)


def read(uri: str) -> dict[str, FeatureStatistics]:
    """Reads the output of `write`."""
    path = os.path.join(uri, _FILE)
    if not tf.io.gfile.exists(path):
        return {}
    with tf.io.gfile.GFile(path) as source:
        return {name: FeatureStatistics(**one) for name, one in json.load(source).items()}
