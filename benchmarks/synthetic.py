"""Planted pairs: the score is the dot product of two known vectors plus noise. Entities follow a Zipf distribution."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv

_CHUNK_ROWS = 500_000


@dataclasses.dataclass(frozen=True)
class Planted:
    """Settings of the planted pairs."""

    rows: int
    left_entities: int = 50_000
    right_entities: int = 20_000
    dimension: int = 8
    noise: float = 0.1
    exponent: float = 1.1
    seed: int = 1


def chunks(planted: Planted) -> Iterator[pa.Table]:
    """Yields tables of `left_id`, `right_id`, `score` with `planted.rows` rows in total, repeatable by the seed."""
    random = np.random.default_rng(planted.seed)
    sides = [
        _PlantedSide("left", planted.left_entities, planted, random),
        _PlantedSide("right", planted.right_entities, planted, random),
    ]
    for start in range(0, planted.rows, _CHUNK_ROWS):
        count = min(_CHUNK_ROWS, planted.rows - start)
        left, right = (side.draw(count, random) for side in sides)
        dot = np.einsum("nd,nd->n", sides[0].vectors[left], sides[1].vectors[right])
        score = (dot + planted.noise * random.standard_normal(count)).round(4)
        columns = [sides[0].ids.take(pa.array(left)), sides[1].ids.take(pa.array(right)), pa.array(score)]
        yield pa.Table.from_arrays(columns, ["left_id", "right_id", "score"])


def write_csv(planted: Planted, path: Path) -> None:
    """Writes the pairs with a header, in chunks of constant memory."""
    # Arrow quotes the names in a header. CsvExampleGen of TFX would treat the quotes as part of the names.
    options = pa.csv.WriteOptions(include_header=False, quoting_style="none")
    schema = next(chunks(Planted(1))).schema
    staged = path.with_suffix(".staged")
    with staged.open("wb") as file:
        file.write(",".join(schema.names).encode() + b"\n")
        with pa.csv.CSVWriter(file, schema, write_options=options) as out:
            for table in chunks(planted):
                out.write_table(table)
    staged.rename(path)


class _PlantedSide:
    """Entities of one side: ids, planted vectors and frequencies."""

    def __init__(self, name: str, count: int, planted: Planted, random: np.random.Generator) -> None:
        self.ids = pa.array([f"{name}-{number}" for number in random.permutation(count)])
        self.vectors = random.standard_normal((count, planted.dimension)) / planted.dimension**0.5
        weights = np.arange(1, count + 1) ** -planted.exponent
        self._cumulative = np.cumsum(weights) / weights.sum()

    def draw(self, count: int, random: np.random.Generator) -> np.ndarray:
        """Draws the numbers of `count` entities."""
        drawn = np.searchsorted(self._cumulative, random.random(count))
        return np.minimum(drawn, len(self._cumulative) - 1)
