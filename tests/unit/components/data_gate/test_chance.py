"""Two sets of one distribution seldom raise an alarm, whatever their size, and a drift does where it can be seen."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pytest
import scipy.stats

from components.data_gate import chance, rules
from components.data_gate.settings import GateSettings
from components.pair_statistics.distribution import COUNTS, Distribution

Scores = Callable[[np.random.Generator, int], np.ndarray]


def stars(draw: np.random.Generator, rows: int) -> np.ndarray:
    return draw.choice([1.0, 2.0, 3.0, 4.0, 5.0], rows, p=[0.05, 0.1, 0.25, 0.35, 0.25])


def sample(draw: np.random.Generator, rows: int, entities: int, scores: Scores) -> Distribution:
    """Draws rows independently, with entities by Zipf's law."""
    popularity = 1 / np.arange(1, entities + 1)
    sides = [_counts(draw.choice(entities, rows, p=popularity / popularity.sum())) for _ in range(2)]
    return Distribution(*sides, np.sort(scores(draw, rows).astype(np.float32)))


def _counts(codes: np.ndarray) -> pa.Table:
    found, counts = np.unique(codes, return_counts=True)
    order = np.argsort(-counts, kind="stable")
    return pa.table([[b"%d" % code for code in found[order]], counts[order]], schema=COUNTS)


def alarms(current: Distribution, accepted: Distribution, settings: GateSettings) -> set[str]:
    """Returns the broken rules of drift from accepted data, and of skew between both as splits."""
    found = [
        *rules.check_drift({"train": current}, {"train": accepted}, settings),
        *rules.check_skew({"train": accepted, "eval": current}, settings),
    ]
    return {check.rule for check in found if not check.ok}


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize(("rows", "others"), [(20, 20), (30, 30), (30, 3000), (200, 100), (3000, 3000)])
@pytest.mark.parametrize(("entities", "scores"), [(5, stars), (1000, np.random.Generator.standard_normal)])
def test_one_distribution_raises_few_alarms(
    rows: int, others: int, entities: int, scores: Scores, strict: bool
) -> None:
    # Bounds near zero leave the decision to chance alone.
    bounds = ("max_score_skew", "max_unseen_share", "max_entity_distance", "max_score_divergence")
    settings = GateSettings(**dict.fromkeys(bounds, 1e-3)) if strict else GateSettings()
    draw, times = np.random.default_rng(5), 150
    raised = sum(
        bool(alarms(sample(draw, rows, entities, scores), sample(draw, others, entities, scores), settings))
        for _ in range(times)
    )
    # At the stated rate, more would happen once in a thousand.
    assert raised <= scipy.stats.binom.isf(0.001, times, chance.FALSE_ALARM_RATE)


def test_a_drift_is_seen_as_soon_as_the_rows_suffice() -> None:
    draw, settings = np.random.default_rng(6), GateSettings()

    def shifted(draw: np.random.Generator, rows: int) -> np.ndarray:
        return stars(draw, rows) + 2.5

    for rows in (100, 10_000):
        old, new = sample(draw, rows, 10, stars), sample(draw, rows, 10, shifted)
        assert alarms(new, old, settings) == {"validate.max_score_divergence", "validate.max_score_skew"}
        others = Distribution(*(pa.table([[b"x"], [rows]], schema=COUNTS) for _ in range(2)), old.scores)
        assert alarms(others, old, settings) == {"validate.max_unseen_share", "validate.max_entity_distance"}


def test_large_data_are_judged_by_the_bounds() -> None:
    assert chance.score_divergence(10**7, 10**7, 20) < 1e-5
    assert chance.unseen_share(10**7, np.full(1000, 10**4)) < 1e-5
    assert chance.entity_distance(np.array([0.5]), 10**7, 10**7, 0.2) < 1e-3


def test_the_reference_tells_how_many_entities_it_misses() -> None:
    """Of a large vocabulary, a few rows show a part. The share of new ids among further rows is that of single ids."""
    draw = np.random.default_rng(7)
    popularity = 1 / np.arange(1, 5001)
    codes = draw.choice(5000, 4000, p=popularity / popularity.sum())
    reference, further = codes[:400], codes[400:]
    expected = np.mean(~np.isin(further, reference))
    bound = chance.unseen_share(len(further), np.unique(reference, return_counts=True)[1])
    assert expected < bound < expected + 0.15


@pytest.mark.parametrize(("rows", "others"), [(20, 200), (200, 20), (30, 30)])
def test_bound_of_many_small_entities_holds(rows: int, others: int) -> None:
    """Twenty even entities: each has less than half of the bound, and still exceeds it by chance in few rows."""
    draw = np.random.default_rng(5)
    alarms = 0
    for _ in range(2000):
        counts = [np.bincount(draw.integers(0, 20, size), minlength=20) for size in (rows, others)]
        distance = np.abs(counts[0] / rows - counts[1] / others)
        by_chance = chance.entity_distance(sum(counts) / (rows + others), rows, others, 0.2)
        alarms += bool((distance > np.maximum(by_chance, 0.2)).any())
    assert alarms / 2000 <= chance.LEVEL


@pytest.mark.parametrize(("all_rows", "current"), [("aaab", 2), ("aabbc", 2), ("aaaabbcd", 3), ("abcdefgh", 4)])
def test_no_more_choices_of_rows_exceed_the_distance_than_allowed(all_rows: str, current: int) -> None:
    """Tries every choice of the current rows, which are equally likely if both sets are from one distribution."""
    codes = np.array([ord(each) - ord("a") for each in all_rows])
    size = int(codes.max()) + 1
    choices = list(itertools.combinations(range(len(codes)), current))
    exceeded = 0
    for chosen in choices:
        held = np.isin(np.arange(len(codes)), chosen)
        mine, theirs = (np.bincount(codes[part], minlength=size) for part in (held, ~held))
        distance = np.abs(mine / current - theirs / (len(codes) - current))
        by_chance = chance.entity_distance((mine + theirs) / len(codes), current, len(codes) - current, 0.0)
        exceeded += bool((distance > by_chance + 1e-9).any())
    assert exceeded <= chance.LEVEL * len(choices)
