"""Compares the split hash, the cutoff time and the duplicate policies with plain Python."""

from __future__ import annotations

import itertools
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


@pytest.mark.parametrize("unordered", [False, True])
@pytest.mark.parametrize("by", ["pair", "left", "right"])
def test_eval_split_has_requested_size(by, unordered):
    left = pa.array([f"l{n}" for n in range(20_000)]).cast(pa.binary())
    right = pa.array([f"r{n}" for n in range(20_000)]).cast(pa.binary())
    assert in_eval(left, right, by, 0.1, unordered).mean() == pytest.approx(0.1, abs=0.01)


def test_known_pairs_stay_in_their_split():
    """A warm start and a comparison with an earlier run rely on it."""
    left, right = (pa.array([f"{side}{n}".encode() for n in range(24)], pa.binary()) for side in ("user-", "film-"))
    assert np.flatnonzero(in_eval(left, right, "pair", 0.3)).tolist() == [7, 9, 12, 20, 21]
    assert np.flatnonzero(in_eval(left, right, "left", 0.3)).tolist() == [3, 4]
    # The split of (film, user), because a film id has the smaller bytes.
    assert np.flatnonzero(in_eval(left, right, "pair", 0.3, unordered=True)).tolist() == [5, 8, 10, 13, 16, 23]


ids = st.binary(min_size=1, max_size=4)


@given(
    st.lists(st.tuples(ids, ids), min_size=1, max_size=30), st.sampled_from(["pair", "left", "right"]), st.booleans()
)
def test_unordered_pair_and_its_mirror_share_a_split(pairs, by, encoded):
    left, right = (pa.array(column, pa.binary()) for column in zip(*pairs, strict=True))
    if encoded:
        left, right = left.dictionary_encode(), right.dictionary_encode()
    here, mirrored = in_eval(left, right, by, 0.5, True), in_eval(right, left, by, 0.5, True)
    np.testing.assert_array_equal(here, mirrored)


def test_held_out_entity_of_one_table_is_in_no_training_pair():
    names = [f"e{n}".encode() for n in range(60)]
    left, right = (pa.array(column, pa.binary()) for column in zip(*itertools.product(names, names), strict=True))
    held = in_eval(left, right, "left", 0.3, unordered=True)
    train = {name for side in (left, right) for name in side.filter(pa.array(~held)).to_pylist()}
    assert held.any() and 0 < len(train) < len(names)
    assert all(
        (a in train and b in train) != eval_
        for a, b, eval_ in zip(left.to_pylist(), right.to_pylist(), held, strict=True)
    )


rows = st.lists(
    st.tuples(
        st.sampled_from([b"a", b"ab", b"b"]), st.sampled_from([b"c", b"bc", b"d"]),
        st.integers(-4, 4), st.integers(1, 3), st.integers(0, 5),
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
        mean = sum(row[3] * row[2] for row in group) / total
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


def unordered_by_pair(values):
    found = {}
    for row in values:
        found.setdefault(frozenset(row[:2]), []).append(row)
    return found


one_kind = st.lists(
    st.tuples(
        st.sampled_from([b"a", b"ab", b"b"]), st.sampled_from([b"a", b"ab", b"b"]),
        st.integers(-4, 4), st.integers(1, 3), st.integers(0, 5),
    ),
    min_size=1, max_size=30,
)  # fmt: skip


@given(one_kind)
def test_unordered_last_keeps_newest_of_both_directions(values):
    pairs = table(values)
    kept = as_rows(duplicates.keep_last(pairs, duplicates.group(pairs, unordered=True)))
    wanted = [
        max(enumerate(group), key=lambda at: (at[1][4], at[0]))[1] for group in unordered_by_pair(values).values()
    ]
    assert kept == sorted(wanted)


@given(one_kind, st.randoms())
def test_unordered_mean_is_of_both_directions_in_any_order(values, order):
    shuffled = order.sample(values, len(values))
    found, again = (
        as_rows(duplicates.keep_mean(pairs, duplicates.group(pairs, unordered=True), unordered=True))
        for pairs in (table(values), table(shuffled))
    )
    wanted = []
    for group in unordered_by_pair(values).values():
        total = sum(row[3] for row in group)
        mean = sum(row[3] * row[2] for row in group) / total
        newest = max(row[4] for row in group)
        wanted.append((*sorted(group[0][:2]), pytest.approx(mean, abs=1e-6), total, newest))
    assert found == again == sorted(wanted, key=lambda row: row[:2])


@given(one_kind)
def test_rows_of_other_folds_are_other_pairs(values):
    pairs = table(values)
    folds = np.arange(len(values)) % 2 == 0
    groups = duplicates.group(pairs.append_column("in_eval", pa.array(folds)))
    keys = [(*row[:2], fold) for row, fold in zip(values, folds.tolist(), strict=True)]
    assert [keys.index(key) for key in keys] == [groups.pair.tolist().index(pair) for pair in groups.pair.tolist()]
