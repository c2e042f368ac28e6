"""The pairs that the model predicts worst."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet

from components.evaluator.evaluation import WORST_FILE
from pipeline.records import node_ids
from pipeline.report import words
from pipeline.report.sources import Absent, Run

_SHOWN_PAIRS = 20


@dataclasses.dataclass(frozen=True)
class Pair:
    """A held-out pair and its prediction, with `figures` in column order."""

    left: str
    right: str
    figures: Sequence[str]
    seen: tuple[str, str]


@dataclasses.dataclass(frozen=True)
class Worst:
    """The pairs with the largest errors, or the positives with the lowest scores."""

    scored: bool
    columns: Sequence[str]
    pairs: Sequence[Pair]


def worst_pairs(run: Run) -> Worst:
    """Returns the worst pairs of the model."""
    path = Path(run.uri(node_ids.EVALUATOR, "evaluation"), WORST_FILE)
    if not path.is_file():
        raise Absent("The evaluation recorded no pairs.")
    table = pyarrow.parquet.read_table(path).slice(0, _SHOWN_PAIRS)
    scored = "error" in table.column_names
    columns = ("label", "value", "error") if scored else ("score", "rank")
    formats: dict[str, Callable[[Any], str]] = {"error": words.signed, "score": words.signed, "rank": words.count}
    pairs = [
        Pair(
            words.readable_id(row["left_id"]),
            words.readable_id(row["right_id"]),
            [formats.get(name, words.figure)(row[name]) for name in columns],
            (words.count(row["left_pairs"]), words.count(row["right_pairs"])),
        )
        for row in table.to_pylist()
    ]
    return Worst(scored, columns, pairs)
