"""Compares the split hash, the cutoff time and the duplicate policies with plain Python."""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.pair_example_gen import duplicates
from components.pair_example_gen.cutoff import find_cutoff
from components.pair_example_gen.split import hash_bytes, in_eval

times = st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=60)


@given(times, st.floats(0.01, 0.99), st.integers(1, 7))
def test_cutoff_is_latest_sufficient_time(values, fraction, pieces):
    parts = [np.array(values[start::pieces]) for start in range(pieces)]
    wanted = sorted(values, reverse=True)[max(math.ceil(fraction * len(values)), 1) - 1]
    assert find_cutoff(lambda: iter(parts), fraction) == wanted


def test_cutoff_without_rows_raises():
    with pytest.raises(ValueError, match="there are no rows"):
        find_cutoff(lambda: iter([np.zeros(0)]), 0.1)


@given(st.lists(st.binary(min_size=1, max_size=40), min_size=1, max_size=20))
def test_hash_depends_on_bytes_only(values):
    whole = hash_bytes(pa.array(values, pa.binary()))
    alone = [hash_bytes(pa.array([value], pa.binary()))[0] for value in values]
    assert whole.tolist() == alone
    assert len(set(alone)) == len(set(values))


@pytest.mark.parametrize("by", ["pair", "left"])
def test_eval_split_has_requested_size(by):
    left = pa.array([f"l{n}" for n in range(20_000)]).cast(pa.binary())
    right = pa.array([f"r{n % 7}" for n in range(20_000)]).cast(pa.binary())
    assert in_eval(left, right, by, 0.1).mean() == pytest.approx(0.1, abs=0.01)


rows = st.lists(
    st.tuples(
        st.sampled_from([b"a", b"ab", b"b"]), st.sampled_from([b"c", b"bc", b"d"]),
        st.integers(-4, 4), st.integers(0, 3), st.integers(0, 5),
    ),
    min_size=1, max_size=30,
)  # fmt: skip


def table(values):
    columns = list(zip(*values, strict=True))
    return pa.table(
        {
            "left_id": pa.array(columns[0], pa.binary()),
            "right_id": pa.array(columns[1], pa.binary()),
            "score": pa.array(columns[2], pa.float32()),
            "weight": pa.array(columns[3], pa.float32()),
            "time": pa.array(columns[4], pa.float64()),
        }
    )


def by_pair(values):
    found = {}
    for row in values:
        found.setdefault(row[:2], []).append(row)
    return found


def as_rows(pairs):
    return sorted(tuple(row.values()) for row in pairs.to_pylist())


@given(rows)
def test_last_keeps_newest_row(values):
    pairs = table(values)
    wanted = [max(enumerate(group), key=lambda at: (at[1][4], at[0]))[1] for group in by_pair(values).values()]
    assert as_rows(duplicates.keep_last(pairs, duplicates.group(pairs))) == sorted(wanted)


@given(rows)
def test_mean_weights_scores(values):
    pairs = table(values)
    wanted = []
    for (left, right), group in by_pair(values).items():
        total = sum(row[3] for row in group)
        weights = [row[3] if total else 1 for row in group]
        mean = sum(weight * row[2] for weight, row in zip(weights, group, strict=True)) / sum(weights)
        wanted.append((left, right, pytest.approx(mean, abs=1e-6), total, max(row[4] for row in group)))
    found = as_rows(duplicates.keep_mean(pairs, duplicates.group(pairs)))
    assert found == sorted(wanted, key=lambda row: row[:2])


@given(rows)
def test_pair_gets_its_newest_time(values):
    pairs = table(values)
    newest = {pair: max(row[4] for row in group) for pair, group in by_pair(values).items()}
    found = duplicates.with_newest_time(pairs, duplicates.group(pairs))
    assert found["time"].to_pylist() == [newest[row[:2]] for row in values]


@given(rows)
def test_repeated_counts_and_shows_pairs(values):
    pairs = table(values)
    count, shown = duplicates.repeated(pairs, duplicates.group(pairs), 2)
    several = [pair for pair, group in by_pair(values).items() if len(group) > 1]
    assert count == len(several)
    assert shown.num_rows == 2 * min(len(several), 2)
