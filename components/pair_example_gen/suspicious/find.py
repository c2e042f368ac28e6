"""Finds all values of a data set that look like a mistake."""

from __future__ import annotations

from collections.abc import Iterator

from components.pair_example_gen.settings import ColumnSettings
from components.pair_example_gen.suspicious.ids import Side, header, in_ids
from components.pair_example_gen.suspicious.scores import in_scores
from components.pair_example_gen.suspicious.times import in_times
from components.pair_example_gen.suspicious.warning import DataWarning
from trainer.data.examples import SIDES, Examples


def find(examples_uri: str, columns: ColumnSettings) -> list[DataWarning]:
    """Returns the warnings about the rows of an examples artifact.

    Args:
      examples_uri: its folder, with tables of ids, rows of codes and Parquet files.
      columns: the columns of the input.
    """
    return list(_all(Examples(examples_uri), columns))


def _all(examples: Examples, columns: ColumnSettings) -> Iterator[DataWarning]:
    sides = [Side.of(side, examples.entities(side)) for side in SIDES]
    for side in sides:
        yield from in_ids(side)
    named = header(*sides)
    if named:
        yield named
    if columns.score is not None:
        yield from in_scores(examples)
    if columns.time is not None:
        times = in_times(examples.uri)
        if times:
            yield times
