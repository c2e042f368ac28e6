"""Finds all values of a data set that look like a mistake."""

from __future__ import annotations

from collections.abc import Iterator

from components.pair_example_gen.settings import IngestSettings
from components.pair_example_gen.suspicious.ids import SpelledIds, spelling_warnings
from components.pair_example_gen.suspicious.scores import score_warnings
from components.pair_example_gen.suspicious.sides import Sides, side_warnings
from components.pair_example_gen.suspicious.times import in_times
from components.pair_example_gen.suspicious.warning import DataWarning
from trainer import features
from trainer.data.examples import SPLITS, Examples, Rows


def find(examples: Examples, settings: IngestSettings, files: int) -> list[DataWarning]:
    """Returns the warnings about the rows of an examples artifact.

    Args:
      examples: the tables of ids, rows of codes and Parquet files.
      settings: section `data`, and whether both sides have one table.
      files: the number of input files.
    """
    return list(_all(examples, settings, files))


def _all(examples: Examples, settings: IngestSettings, files: int) -> Iterator[DataWarning]:
    def blocks() -> Iterator[Rows]:
        for split in SPLITS:
            yield from examples.blocks(split)

    sides = Sides(SpelledIds(features.LEFT, examples.left), SpelledIds(features.RIGHT, examples.right), blocks, files)
    for ids in sides.both:
        yield from spelling_warnings(ids)
    yield from side_warnings(sides, settings.columns, settings.unordered)
    if settings.columns.score is not None:
        yield from score_warnings(blocks, sides.both)
    if settings.columns.time is not None:
        times = in_times(examples.uri)
        if times:
            yield times
