"""Writes small examples artifacts with the program's own writer, without Beam."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from components.pair_example_gen import entities, shards
from components.pair_example_gen.rules import pairs_schema
from components.pair_example_gen.settings import ColumnSettings
from trainer.data.examples import EVAL, SIDES, TRAIN, Examples, entities_file

Row = tuple[Any, ...]  # left id, right id, and score, weight and time where there are any

_ROLES = ("left", "right", "score", "weight", "time")


def write(folder: Path, train: Sequence[Row], held_out: Sequence[Row] = (), per_shard: int = 1_000_000) -> Examples:
    """Writes the splits below `folder`, in shards of `per_shard` rows."""
    rows = [*train, *held_out]
    roles = _ROLES[: len(rows[0]) if rows else 3]
    schema = pairs_schema(ColumnSettings(**{role: role for role in roles}))
    is_eval = np.arange(len(rows)) >= len(train)
    examples, work = str(folder), str(folder / "work")
    for path in shards.folders(examples, work):
        Path(path).mkdir(parents=True, exist_ok=True)
    names = []
    for number, start in enumerate(range(0, len(rows), per_shard)):
        values = list(zip(*rows[start : start + per_shard], strict=True))
        table = pa.table(
            [pa.array(list(column), field.type) for column, field in zip(values, schema, strict=True)], schema=schema
        )
        with shards.ShardWriter(examples, f"{number:05d}", work) as writer:
            writer.write(table, is_eval[start : start + per_shard])
        names += writer.shards
    for side in SIDES:
        read = ((name, shards.read_ids(work, side, name)) for name in names)
        merged, rank = entities.merge(read, shards.places_folder(work, side))
        entities.write_column(rank, shards.rank_file(work, side), work)
        entities.write_table(merged.to_table(), entities_file(examples, side), work)
    for name in names:
        shards.write_codes(examples, work, name)
    return Examples(examples)


def read(examples: Examples) -> dict[str, list[Row]]:
    """Returns the rows of each split with their ids, in the order of the shards."""
    found: dict[str, list[Row]] = {}
    for split in (TRAIN, EVAL):
        rows = examples.rows(split)
        columns = [
            examples.left.ids.take(pa.array(rows.left)).to_pylist(),
            examples.right.ids.take(pa.array(rows.right)).to_pylist(),
            *(column.tolist() for column in (rows.score, rows.weight) if column is not None),
        ]
        found[split] = list(zip(*columns, strict=True))
    return found
