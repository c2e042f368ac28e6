"""The embeddings: a map of the most frequent entities, and their neighbors."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline.report import words
from pipeline.report.projection import nearest, project
from pipeline.report.sources import Absent, Run
from trainer.export.tables import Side, Tables
from trainer.ranking.top_k import top_k

_SHOWN, _NEAREST, _KNOWN, _LISTED = 2000, 5, 6, 6


@dataclasses.dataclass(frozen=True)
class Map:
    """The JSON data of the map, and facts about it."""

    data: dict[str, Any]
    shown: Mapping[str, tuple[int, int]]  # by side: number of shown entities, number of entities
    shares: tuple[str, str]


def embedding_map(run: Run) -> Map:
    """Projects the most frequent entities of each side onto their first two principal components."""
    rows = _frequent_rows(run, _SHOWN)
    tables = run.tables
    sides = {name: _side(tables, name) for name in rows}
    vectors = {name: sides[name].vectors[rows[name][0]] for name in rows}
    plane = project(np.concatenate(list(vectors.values())))
    # Integers are shorter, and more precise than any screen.
    reach = float(np.abs(plane.places).max(initial=0.0)) or 1.0
    places = np.rint(plane.places / reach * 10_000).astype(int)
    drawn, start = [], 0
    for name, (which, counts) in rows.items():
        part = places[start : start + len(which)]
        start += len(which)
        near, _ = nearest(vectors[name], np.arange(len(which)), _NEAREST)
        drawn.append(
            {
                "side": name,
                "ids": _ids(sides[name], which),
                "pairs": counts.tolist(),
                "x": part[:, 0].tolist(),
                "y": part[:, 1].tolist(),
                "near": [[int(row) for row in rows if row >= 0] for rows in near],
            }
        )
    return Map(
        {"sides": drawn},
        {name: (len(which), sides[name].known) for name, (which, _) in rows.items()},
        (words.share(plane.shares[0]), words.share(plane.shares[1])),
    )


@dataclasses.dataclass(frozen=True)
class Known:
    """A frequent entity, its nearest entities by cosine, and the entities of the other side with the highest scores."""

    id: str
    pairs: str
    alike: Sequence[tuple[str, str]]
    partners: Sequence[tuple[str, str]]


@dataclasses.dataclass(frozen=True)
class Neighbors:
    """The most frequent entities of each side, with their neighbors."""

    sides: Mapping[str, Sequence[Known]]


def neighbors(run: Run) -> Neighbors:
    """Finds the neighbors of the most frequent entities among all entities of both sides."""
    tables = run.tables
    by_side = {}
    for name, (rows, counts) in _frequent_rows(run, _KNOWN).items():
        side, other = (tables.left, tables.right) if name == "left" else (tables.right, tables.left)
        alike, cosines = nearest(side.vectors[: side.known], rows, _LISTED)
        partners, scores = top_k(side.vectors[rows], other.vectors[: other.known], _LISTED, other.bias[: other.known])
        scores = scores + side.bias[rows][:, None] + tables.offset
        by_side[name] = [
            Known(
                _ids(side, rows[i : i + 1])[0],
                words.count(counts[i]),
                _listed(side, alike[i], cosines[i]),
                _listed(other, partners[i], scores[i]),
            )
            for i in range(len(rows))
        ]
    return Neighbors(by_side)


def _side(tables: Tables, name: str) -> Side:
    return tables.left if name == "left" else tables.right


def _frequent_rows(run: Run, most: int) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Returns by side the rows of the entities with the most training pairs, and their numbers of pairs.

    Sides with a shared table have one entry.
    """
    tables, train = run.tables, run.splits["train"]
    names = ["left"] if run.config["encode"]["shared"] else ["left", "right"]
    by_side = {}
    for name in names:
        side = _side(tables, name)
        counted = train.entities(name) if len(names) == 2 else pa.concat_tables([train.left, train.right])
        if len(names) == 1:
            summed = counted.group_by("id").aggregate([("count", "sum")])
            counted = pa.table({"id": summed["id"], "count": summed["count_sum"]})
            counted = counted.sort_by([("count", "descending"), ("id", "ascending")])
        # A vocabulary has the most frequent ids, so there are enough of them in twice as many.
        head = counted.slice(0, 2 * most)
        rows = side.rows_of(head["id"].combine_chunks())
        known = np.flatnonzero(rows >= 0)[:most]
        by_side[name] = rows[known], head["count"].to_numpy()[known]
    if not all(len(rows) for rows, _ in by_side.values()):
        raise Absent("The model contains no ids, so its vectors have no names.")
    return by_side


def _ids(side: Side, rows: np.ndarray) -> list[str]:
    return [words.readable_id(raw) for raw in side.ids.take(pa.array(rows)).to_pylist()]


def _listed(side: Side, rows: np.ndarray, figures: np.ndarray) -> list[tuple[str, str]]:
    kept = rows >= 0
    names = _ids(side, rows[kept].astype(np.int64))
    return [(name, words.two_digits(float(figure))) for name, figure in zip(names, figures[kept], strict=True)]
