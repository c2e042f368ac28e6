"""Distances between spans, against plain Python."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import jensenshannon

from components.data_gate import drift
from components.pair_statistics.distribution import COUNTS

ids = st.lists(st.sampled_from([b"a", b"b", b"c", b"d", "é".encode()]), max_size=30)


def counts(values: list[bytes]) -> pa.Table:
    counted = Counter(values)
    return pa.table({"id": list(counted), "count": list(counted.values())}, schema=COUNTS)


@given(ids, ids)
def test_unseen_share_counts_pairs_not_entities(current: list[bytes], reference: list[bytes]) -> None:
    expected = sum(value not in set(reference) for value in current) / len(current) if current else 0
    assert drift.unseen_share(counts(current), counts(reference)).value == pytest.approx(expected)


@given(ids, ids)
def test_entity_distance_is_the_largest_difference_of_shares(current: list[bytes], reference: list[bytes]) -> None:
    def share(values: list[bytes], value: bytes) -> float:
        return values.count(value) / len(values) if values else 0

    everything = {*current, *reference}
    expected = max((abs(share(current, v) - share(reference, v)) for v in everything), default=0)
    assert drift.entity_distance(counts(current), counts(reference), least=1.0).value == pytest.approx(expected)


def test_score_divergence_of_equal_and_of_disjoint_samples() -> None:
    sample = np.linspace(0, 1, 1000, dtype=np.float32)
    assert drift.score_divergence(sample, sample).value == 0
    assert drift.score_divergence(sample, sample[::10]).value < 0.01
    assert drift.score_divergence(sample, sample + 2).value == pytest.approx(1, abs=0.01)


def test_score_divergence_of_two_values_is_the_textbook_formula() -> None:
    """With one bin per value there is no binning to disagree about: scipy's (square root of the) divergence."""
    current = np.repeat(np.float32([1, 5]), [30, 70])
    reference = np.repeat(np.float32([1, 5]), [80, 20])
    expected = jensenshannon([0.3, 0.7], [0.8, 0.2], base=2) ** 2
    assert drift.score_divergence(current, reference).value == pytest.approx(expected)


@given(st.lists(st.floats(-9, 9, width=32), min_size=1), st.lists(st.floats(-9, 9, width=32), min_size=1))
def test_score_divergence_is_symmetric_and_bounded(a: list[float], b: list[float]) -> None:
    left, right = np.sort(np.float32(a)), np.sort(np.float32(b))
    value = drift.score_divergence(left, right).value
    assert 0 <= value <= 1 + 1e-9
    assert value == pytest.approx(drift.score_divergence(right, left).value, abs=1e-9)


@given(
    st.lists(st.sampled_from(np.float32([-1, 0, 0.1, 0.5, 3])), min_size=5, max_size=200),
    st.lists(st.floats(-2, 4, width=32), min_size=5, max_size=60),
)
def test_score_divergence_of_bins_of_equal_shares(a: list[float], b: list[float]) -> None:
    """The bins of a plain cumulative sum over both samples."""
    left, right = np.sort(np.float32(a)), np.sort(np.float32(b))
    weighted = sorted([*((value, 0.5 / len(a)) for value in left), *((value, 0.5 / len(b)) for value in right)])
    reached = np.cumsum([weight for _, weight in weighted]) + 1e-12
    bins = min(max(min(len(a), len(b)) // 5, 2), 20)
    edges = sorted({weighted[int(np.argmax(reached >= level / bins))][0] for level in range(1, bins)})
    p, q = ([sum(value >= edge for edge in edges) for value in sample] for sample in (left, right))
    shares = [np.bincount(found, minlength=len(edges) + 1) / len(found) for found in (p, q)]
    expected = jensenshannon(*shares, base=2) ** 2
    assert drift.score_divergence(left, right).value == pytest.approx(np.nan_to_num(expected), abs=1e-9)
