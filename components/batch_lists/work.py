"""Ranks one part of the queries and writes its file. Beam distributes the parts over workers."""

from __future__ import annotations

import dataclasses
import functools
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from components.batch_lists.output import staged
from components.batch_lists.ranking import OTHER, Ranking, block_size, rank
from components.batch_lists.seen import SeenPairs
from components.batch_lists.settings import BatchSettings
from kindred import progress
from kindred.saved_model import SavedModel
from trainer.data.examples import SPLITS, TRAIN
from trainer.export.tables import read_tables

_ROWS = 1_000_000
"""About how many rows a file has."""
_NEIGHBORS = "neighbors_"


@dataclasses.dataclass(frozen=True)
class Part:
    """Some consecutive queries of one kind of lists.

    Attributes:
      lists: the kind, as in `BatchSettings.lists`.
      first: the number of the first query.
      end: the number after that of the last one.
      name: the name of the file without its ending.
    """

    lists: str
    first: int
    end: int
    name: str


def parts_of(model: str, settings: BatchSettings) -> list[Part]:
    """Returns the parts of all lists. They depend on the model and the settings only, and not on the workers."""
    tables = read_tables(model)
    count = {"left": tables.left.known, "right": tables.right.known}
    parts = []
    for lists in settings.lists:
        side, queried = _sides(lists)
        # Whole blocks, so that each query shares its matrix product with the same others everywhere.
        block = block_size(count[side])
        size = max(1, _ROWS // min(settings.k, max(count[side], 1)) // block) * block
        starts = range(0, count[queried], size)
        parts += [
            Part(lists, first, min(first + size, count[queried]), f"{number:05}-of-{len(starts):05}")
            for number, first in enumerate(starts)
        ]
    return parts


@dataclasses.dataclass(frozen=True)
class RankPart:
    """Ranks a part. A worker loads the model and the seen pairs once.

    Attributes:
      model: the directory of the SavedModel.
      examples: the folder of the `Examples`.
      output: the folder of the lists.
      counts: a folder for the counts of each part. They travel as files, because Beam returns no values.
      settings: the section `batch` as JSON.
    """

    model: str
    examples: str
    output: str
    counts: str
    settings: str

    def __call__(self, part: Part) -> Iterator[None]:
        """Writes the file of a part and its counts."""
        ranking, rows = self._rankings[part.lists], 0
        folder = Path(self.output, part.lists)
        os.makedirs(folder, exist_ok=True)
        with staged(folder / f"{part.name}.{self._parsed.format}", ranking.schema) as write:
            for queries, table in ranking.blocks(part.first, part.end):
                write(table)
                rows += len(table)
                progress.advance("lists", queries)
        counts = {"lists": part.lists, "queries": part.end - part.first, "rows": rows}
        Path(self.counts, f"{part.lists}-{part.name}.json").write_text(json.dumps(counts), encoding="utf-8")
        yield from ()

    @functools.cached_property
    def _parsed(self) -> BatchSettings:
        return BatchSettings.model_validate_json(self.settings)

    @functools.cached_property
    def _rankings(self) -> dict[str, Ranking]:
        model = SavedModel(self.model)
        return {lists: self._ranking(model, lists) for lists in self._parsed.lists}

    def _ranking(self, model: SavedModel, lists: str) -> Ranking:
        side, queried = _sides(lists)
        splits = {"all": SPLITS, "train": (TRAIN,), "none": ()}[self._parsed.exclude_seen]

        def seen(queries: pa.Array, answers: pa.Array) -> SeenPairs:
            return SeenPairs.of_examples(self.examples, splits, queried, queries, answers)

        return rank(model, side, self._parsed.k, None, None if side == queried or not splits else seen, side == queried)


def read_counts(folder: str) -> dict[str, dict[str, int]]:
    """Returns the numbers of `queries` and `rows` of each kind of lists."""
    total: dict[str, dict[str, int]] = {}
    for path in sorted(Path(folder).glob("*.json")):
        found = json.loads(path.read_text(encoding="utf-8"))
        counts = total.setdefault(found.pop("lists"), {"queries": 0, "rows": 0})
        for name, count in found.items():
            counts[name] += count
    return total


def _sides(lists: str) -> tuple[str, str]:
    """Returns the side of the answers and that of the queries."""
    side = lists.removeprefix(_NEIGHBORS)
    return side, side if lists.startswith(_NEIGHBORS) else OTHER[side]
