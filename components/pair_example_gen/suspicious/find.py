"""Finds all values of a data set that look like a mistake."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor

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
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        parts = threads.map(lambda part: list(part()), _parts(examples, settings, files))
        return [warning for part in parts for warning in part]


def _parts(examples: Examples, settings: IngestSettings, files: int) -> Iterator[Callable[[], Iterable[DataWarning]]]:
    """Yields functions that return the warnings of one kind of value. They can run at the same time."""

    def blocks() -> Iterator[Rows]:
        for split in SPLITS:
            yield from examples.blocks(split)

    sides = Sides(SpelledIds(features.LEFT, examples.left), SpelledIds(features.RIGHT, examples.right), blocks, files)
    for ids in sides.both:
        yield functools.partial(spelling_warnings, ids)
    yield lambda: side_warnings(sides, settings.columns, settings.unordered)
    if settings.columns.score is not None:
        yield lambda: score_warnings(blocks, sides.both)
    if settings.columns.time is not None:
        yield lambda: filter(None, [in_times(examples.uri)])
