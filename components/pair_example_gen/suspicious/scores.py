"""Scores that look like a mistake, found in the rows of codes."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from components.pair_example_gen.suspicious.warning import DataWarning
from trainer import features
from trainer.data.examples import SPLITS, Examples

_COLUMN = "data.columns.score"
# Numbers that programs write for a missing value.
SENTINELS = (-1.0, -9.0, -99.0, -999.0, -9999.0, 99.0, 999.0, 9999.0, 99999.0, 999999.0)
_SAMPLE = 100_000
# A sentinel is at least this many times as far from the other scores as these are from each other.
_GAP = 1.5
# Entities with at least two rows, and the share of them whose scores are all equal.
_LEAST_ENTITIES, _CONSTANT = 20, 0.95


def in_scores(examples: Examples) -> Iterator[DataWarning]:
    """Yields the warnings about the scores."""
    low, high, sample = _range(examples)
    if low > high:
        return
    if low == high:
        text = f"all scores are {low:g}. Without a score column, every pair is a positive"
        yield DataWarning("constant_score", _COLUMN, _count(examples), [f"{low:g}"], text)
        return
    for value in sorted({low, high} & set(SENTINELS)):
        warning = _sentinel(examples, value, sample)
        if warning:
            yield warning
    for side in (features.LEFT, features.RIGHT):
        warning = _of_entity(examples, side)
        if warning:
            yield warning


def _range(examples: Examples) -> tuple[float, float, np.ndarray]:
    """Returns the lowest and the highest score, and the distinct scores among the first rows."""
    low, high, sample = np.inf, -np.inf, np.zeros(0, np.float32)
    for score in _scores(examples):
        low, high = min(low, float(score.min())), max(high, float(score.max()))
        if not len(sample):
            sample = np.unique(score[:_SAMPLE])
    return low, high, sample


def _sentinel(examples: Examples, value: float, sample: np.ndarray) -> DataWarning | None:
    count, nearest = 0, np.inf
    for score in _scores(examples):
        is_value = score == np.float32(value)
        count += int(np.count_nonzero(is_value))
        others = score[~is_value]
        if len(others):
            nearest = min(nearest, float(np.abs(others - np.float32(value)).min()))
    others = sample[sample != np.float32(value)]
    if count < 2 or len(others) < 2 or nearest < _GAP * float(np.diff(others).max()):
        return None
    text = (
        f"{count:,} rows have the score {value:g}, which is far from all others and looks like a missing value. Remove "
        "these rows, or set bounds in the schema"
    )
    return DataWarning("sentinel_score", _COLUMN, count, [f"{value:g}"], text)


def _of_entity(examples: Examples, side: str) -> DataWarning | None:
    """Returns the warning about scores that depend on one id of the pair only."""
    entities = examples.entities(side)
    rows = np.sum(list(entities.counts.values()), axis=0)
    # Any score of each entity. It is constant if all its rows have that score.
    some, is_constant = np.zeros(len(rows), np.float32), rows > 1
    repeated = np.count_nonzero(is_constant)
    if repeated < _LEAST_ENTITIES:
        return None
    for split in SPLITS:
        for block in examples.blocks(split):
            some[getattr(block, side)] = block.score
    for split in SPLITS:
        for block in examples.blocks(split):
            codes = getattr(block, side)
            is_constant[codes[some[codes] != block.score]] = False
    found = np.flatnonzero(is_constant)
    if len(found) < _CONSTANT * repeated:
        return None
    id_, score = entities.ids[int(found[0])].as_py().decode(), some[found[0]]
    count = int(rows[found].sum())
    text = (
        f"{len(found):,} of {repeated:,} {side} ids with several rows have the same score in all of them, such as "
        f"{id_!r} with {score:g}. A similarity needs scores of pairs, not of entities"
    )
    return DataWarning(f"score_of_{side}", _COLUMN, count, [id_], text)


def _scores(examples: Examples) -> Iterator[np.ndarray]:
    for split in SPLITS:
        for block in examples.blocks(split):
            if block.score is not None and len(block):
                yield block.score


def _count(examples: Examples) -> int:
    return sum(examples.count(split) for split in SPLITS)
