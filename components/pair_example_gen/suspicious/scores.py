"""Rules about scores. They read the rows of codes block by block, and most of them only the first blocks."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from components.pair_example_gen.suspicious.ids import SpelledIds, literal, shortened
from components.pair_example_gen.suspicious.warning import DataWarning
from trainer.data.examples import Rows

_COLUMN = "data.columns.score"

Blocks = Callable[[], Iterator[Rows]]

# Below this number of rows, a pattern in the scores may be chance.
_LEAST_ROWS = 20
_SAMPLE = 1_000_000
# The largest 32-bit integer is 2^31 as a 32-bit float.
_HIGH = (99.0, 999.0, 9999.0, 99999.0, 999999.0, 9999999.0, 2.0**31)
_LOW = (-1.0, -9.0, *(-value for value in _HIGH))
_SHOWN = 3
# Of a score that depends on one entity alone: the share of rows that agree with an earlier row of their entity, and
# the natural logarithm of the probability that as many agree by chance.
_AGREE, _CHANCE = 0.99, math.log(1e-6)
# The years 1973 to 2286, in seconds.
_TIMES = (1e8, 1e10)


@dataclasses.dataclass(frozen=True)
class Scores:
    """What one pass over the scores finds.

    Attributes:
      blocks: returns the rows of all splits, always in the same order.
      rows: the number of rows.
      low: the lowest score.
      high: the highest score.
      sample: the scores of the first rows, at most about a million.
    """

    blocks: Blocks
    rows: int
    low: float
    high: float
    sample: np.ndarray

    @classmethod
    def of(cls, blocks: Blocks) -> Scores | None:
        """Reads the scores. Returns None if there are none."""
        count, held, sample = 0, 0, []
        low, high = math.inf, -math.inf
        for rows in blocks():
            if rows.score is None or not len(rows):
                continue
            low, high = min(low, float(rows.score.min())), max(high, float(rows.score.max()))
            count += len(rows)
            if held < _SAMPLE:
                sample.append(rows.score)
                held += len(rows)
        return cls(blocks, count, low, high, np.concatenate(sample)) if sample else None

    def without(self, value: float) -> Rest:
        """Returns a description of the scores other than `value`."""
        low, high, count, lowest = math.inf, -math.inf, 0, 0
        for rows in self.blocks():
            assert rows.score is not None
            others = rows.score[rows.score != value]
            count += len(rows) - len(others)
            if not len(others):
                continue
            least = float(others.min())
            if least < low:
                low, lowest = least, 0
            lowest += int(np.count_nonzero(others == low))
            high = max(high, float(others.max()))
        distinct, counts = np.unique(self.sample[self.sample != value], return_counts=True)
        return Rest(count, low, high, lowest, distinct.astype(np.float64), counts)


@dataclasses.dataclass(frozen=True)
class Rest:
    """The scores other than a suspicious value.

    Attributes:
      count: the number of rows with the suspicious value.
      low: the lowest of the other scores.
      high: the highest of them.
      lowest: the number of rows with score `low`.
      distinct: their distinct values in the sample, ascending.
      counts: the number of rows of each of these in the sample.
    """

    count: int
    low: float
    high: float
    lowest: int
    distinct: np.ndarray
    counts: np.ndarray

    @property
    def span(self) -> float:
        """The difference of highest and lowest."""
        return self.high - self.low

    @property
    def step(self) -> float:
        """The difference of the two lowest values."""
        return float(self.distinct[1] - self.distinct[0])


def score_warnings(blocks: Blocks, sides: Sequence[SpelledIds]) -> Iterator[DataWarning]:
    """Yields a warning for each rule that the scores break.

    Args:
      blocks: returns the rows of all splits, always in the same order.
      sides: the left and the right ids.
    """
    scores = Scores.of(blocks)
    if scores is None or scores.rows < _LEAST_ROWS:
        return
    if scores.low == scores.high:
        text = (
            f"all {scores.rows:,} rows have the score {scores.low:g}. Without data.columns.score, every row is a "
            "positive pair"
        )
        yield DataWarning("constant_score", _COLUMN, scores.rows, [f"{scores.low:g}"], text)
        return
    if _TIMES[0] <= scores.low and scores.high < _TIMES[1] and np.array_equal(scores.sample, scores.sample.round()):
        text = (
            f"all scores are whole numbers from {scores.low:.0f} to {scores.high:.0f}, such as times in seconds. Check "
            "the column"
        )
        yield DataWarning("time_as_score", _COLUMN, scores.rows, [f"{scores.low:.0f}"], text)
    yield from _sentinels(scores, sides)
    for ids in sides:
        rows, score = _constant_by_entity(scores, ids.side, len(ids))
        if rows:
            name = shortened(ids.text[0].as_py())
            text = (
                f"all rows of a {ids.side} id have the same score ({rows:,} rows agree with an earlier one of their "
                f"id), such as {name!r} with {score:g}. A similarity needs scores of pairs, not of entities"
            )
            yield DataWarning(f"score_of_{ids.side}", _COLUMN, rows, [name], text)


def _sentinels(scores: Scores, sides: Sequence[SpelledIds]) -> Iterator[DataWarning]:
    suspects = [value for value in {scores.low, scores.high} if value in (*_HIGH, *_LOW, 0.0)]
    for value in sorted(suspects):
        rest = scores.without(value)
        if rest.count < 2 or len(rest.distinct) < 3:
            continue
        is_far = _far_above(rest, value) if value > rest.high else value < rest.low and _far_below(rest, value)
        if is_far:
            examples = _rows_with(scores, value, sides)
            text = (
                f"{rest.count:,} rows have the score {value:g}, which is far from all others ({rest.low:g} to "
                f"{rest.high:g}) and looks like a missing value. Remove these rows, or set bounds in the schema: "
                f"{', '.join(examples)}"
            )
            yield DataWarning("sentinel_score", _COLUMN, rest.count, examples, text)


def _far_above(rest: Rest, value: float) -> bool:
    """Returns whether a high value is as far from the other scores as these are from each other."""
    return value in _HIGH and value - rest.high >= rest.span


def _far_below(rest: Rest, value: float) -> bool:
    """Returns whether a low value does not belong to the others.

    - A negative one among negative scores: it is as far from them as these are from each other.
    - A negative one among other scores: it leaves out a step, or is more frequent than the next of five values.
    - Zero: it is half as far from the others as these are from each other. Or it is 20 times as frequent as the lowest
      of a scale of whole numbers.
    """
    gap = rest.low - value
    if value == 0:
        return gap >= rest.span / 2 or (_is_scale(rest) and rest.count >= 20 * rest.lowest)
    if value not in _LOW:
        return False
    if rest.low < 0:
        return gap >= rest.span
    return gap > 1.5 * rest.step or (len(rest.distinct) >= 5 and rest.count > rest.lowest)


def _is_scale(rest: Rest) -> bool:
    """Returns whether the scores are whole numbers, each of 20 rows on average, and high ones are more frequent."""
    few = 4 <= len(rest.distinct) <= 100 and rest.counts.sum() >= 20 * len(rest.distinct)
    is_whole = np.array_equal(rest.distinct, rest.distinct.round())
    return few and is_whole and int(rest.counts.argmax()) >= len(rest.distinct) // 2


def _rows_with(scores: Scores, value: float, sides: Sequence[SpelledIds]) -> list[str]:
    shown: list[str] = []
    for rows in scores.blocks():
        assert rows.score is not None
        for row in np.flatnonzero(rows.score == value)[: _SHOWN - len(shown)]:
            left, right = (literal(ids.text[int(getattr(rows, ids.side)[row])].as_py()) for ids in sides)
            shown.append(f"({left}, {right}, {value:g})")
        if len(shown) == _SHOWN:
            break
    return shown


def _constant_by_entity(scores: Scores, side: str, entities: int) -> tuple[int, float]:
    """Returns the number of rows that agree with an earlier row of their entity, if nearly all do, else 0.

    Also returns a score of the entity with code 0.

    Reads until it is clear that the score varies within entities. The probability that `n` rows agree by chance is
    at most exp(-n KL(share || q)), where q is the probability that two rows agree (Chernoff's bound).
    """
    first = np.full(entities, np.nan, np.float32)
    repeated = agree = 0
    for rows in scores.blocks():
        codes, score = getattr(rows, side), rows.score
        assert score is not None
        new = np.isnan(first[codes])
        seen = int(np.count_nonzero(np.bincount(codes[new], minlength=1)))
        first[codes[new]] = score[new]
        repeated += len(rows) - seen
        agree += int(np.count_nonzero(score == first[codes])) - seen
        if repeated > 100 and agree < 0.9 * repeated:
            return 0, 0.0
    if not repeated or agree < _AGREE * repeated:
        return 0, 0.0
    _, counts = np.unique(scores.sample, return_counts=True)
    by_chance = float(((counts / counts.sum()) ** 2).sum())
    is_chance = -repeated * _divergence(agree / repeated, by_chance) > _CHANCE
    return 0 if is_chance else agree, float(first[0])


def _divergence(share: float, chance: float) -> float:
    """Returns the Kullback-Leibler divergence of two Bernoulli distributions in nats, 0 if `share` is smaller."""
    if share <= chance:
        return 0.0
    rest = (1 - share) * math.log((1 - share) / (1 - chance)) if share < 1 else 0.0
    return share * math.log(share / chance) + rest
