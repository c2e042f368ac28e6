"""Distributions: any division into parts gives the same one, and TFDV agrees with the protos."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
import tensorflow_data_validation as tfdv
from google.protobuf import text_format
from hypothesis import given, settings
from hypothesis import strategies as st
from tensorflow_metadata.proto.v0 import schema_pb2

from components.pair_statistics import distribution
from components.pair_statistics.distribution import Distribution
from components.pair_statistics.protos import statistics_of
from tests import written_examples

SCHEMA = Path(__file__).parents[4] / "schemas" / "pairs.pbtxt"

ids = st.text(min_size=1, max_size=3).map(str.encode)
rows = st.lists(st.tuples(ids, ids, st.floats(-5, 5, width=32)), max_size=40)
Rows = list[tuple[bytes, bytes, float]]


def described(table: Sequence[written_examples.Row]) -> Distribution:
    """Returns the distribution of the train split of an artifact with these rows."""
    with tempfile.TemporaryDirectory() as folder:
        return distribution.of_split(written_examples.write(Path(folder), table), "train")


def same(a: Distribution, b: Distribution) -> bool:
    counts = [{row["id"]: row["count"] for row in found.to_pylist()} for found in (a.left, b.left, a.right, b.right)]
    return counts[0] == counts[1] and counts[2] == counts[3] and np.array_equal(a.scores, b.scores)


@settings(max_examples=30)
@given(rows, st.integers(0, 40), st.integers(0, 40))
def test_merged_parts_equal_whole(table: Rows, first: int, second: int) -> None:
    low, high = sorted((first, second))
    parts = [described(part) for part in (table[:low], table[low:high], table[high:])]
    merged = distribution.merge(parts)
    assert same(merged, described(table))
    assert merged.left["count"].to_pylist() == sorted(merged.left["count"].to_pylist(), reverse=True)


@given(rows)
def test_counts_match_plain_python(table: Rows) -> None:
    found = described(table)
    expected = Counter(left for left, _, _ in table)
    assert dict(zip(found.left["id"].to_pylist(), found.left["count"].to_pylist(), strict=True)) == expected
    assert found.left["count"].to_pylist() == sorted(expected.values(), reverse=True)
    assert found.scores.tolist() == sorted(score for _, _, score in table)


def test_distribution_round_trips(tmp_path: Path) -> None:
    found = described([(b"a", "é".encode(), 1.5), (b"a", b"\x00 ", -2.0)])
    distribution.write(found, str(tmp_path / "d"))
    again = distribution.read(str(tmp_path / "d"))
    assert again.left.equals(found.left) and again.right.equals(found.right)
    assert np.array_equal(again.scores, found.scores)


@pytest.fixture(scope="module")
def planted() -> tuple[Rows, Distribution]:
    draw = np.random.default_rng(5)
    table = [(b"l%d" % min(i, j), b"r%d" % j, float(s)) for i, j, s in zip(
        draw.integers(0, 30, 500), draw.integers(0, 9, 500), draw.normal(3, 2, 500).astype(np.float32), strict=True
    )]  # fmt: skip
    return table, described(table)


def test_protos_match_tfdv(planted: tuple[Rows, Distribution]) -> None:
    """Compares with TFDV's own statistics of the same rows."""
    table, found = planted
    import pandas as pd

    frame = pd.DataFrame(
        {
            "left_id": [r[0] for r in table],
            "right_id": [r[1] for r in table],
            "score": np.float32([r[2] for r in table]),
        }
    )
    ours = {f.path.step[0]: f for f in statistics_of(found).datasets[0].features}
    theirs = {f.path.step[0]: f for f in tfdv.generate_statistics_from_dataframe(frame).datasets[0].features}
    assert ours.keys() == theirs.keys()
    for name in ("left_id", "right_id"):
        mine, other = ours[name].string_stats, theirs[name].string_stats
        assert mine.unique == other.unique
        assert mine.avg_length == pytest.approx(other.avg_length)
        assert mine.common_stats.num_non_missing == other.common_stats.num_non_missing
        assert {v.value: v.frequency for v in mine.top_values if v.frequency > 20} == {
            v.value: v.frequency for v in other.top_values if v.frequency > 20
        }
    mine, other = ours["score"].num_stats, theirs["score"].num_stats
    for field in ("mean", "std_dev", "min", "max"):
        assert getattr(mine, field) == pytest.approx(getattr(other, field), rel=1e-5), field
    assert sum(bucket.sample_count for bucket in mine.histograms[0].buckets) == 500


def test_curated_schema_finds_no_anomaly(planted: tuple[Rows, Distribution]) -> None:
    schema = text_format.Parse(SCHEMA.read_text(), schema_pb2.Schema())
    anomalies = tfdv.validate_statistics(statistics_of(planted[1]), schema)
    assert not anomalies.anomaly_info, anomalies


def test_schema_domain_reports_outliers(planted: tuple[Rows, Distribution]) -> None:
    schema = text_format.Parse(SCHEMA.read_text(), schema_pb2.Schema())
    score = next(feature for feature in schema.feature if feature.name == "score")
    score.float_domain.max = 1.0
    anomalies = tfdv.validate_statistics(statistics_of(planted[1]), schema)
    assert list(anomalies.anomaly_info) == ["score"]


def test_positives_use_their_own_schema(planted: tuple[Rows, Distribution], tmp_path: Path) -> None:
    part = described([row[:2] for row in planted[0]])
    found = distribution.merge([part, part])
    assert (found.rows, found.has_scores, len(found.scores)) == (1000, False, 0)
    distribution.write(found, str(tmp_path / "d"))
    assert same(distribution.read(str(tmp_path / "d")), found)
    statistics = statistics_of(found)
    assert [feature.path.step[0] for feature in statistics.datasets[0].features] == ["left_id", "right_id"]
    of_positives = SCHEMA.with_name("positives.pbtxt")
    wrong = {}
    for path in (of_positives, SCHEMA):
        schema = text_format.Parse(path.read_text(), schema_pb2.Schema())
        wrong[path] = list(tfdv.validate_statistics(statistics, schema).anomaly_info)
    assert wrong == {of_positives: [], SCHEMA: ["score"]}


def test_distributions_of_older_versions_are_read(tmp_path: Path) -> None:
    found = described([(b"a", b"x", 1.5), (b"a", b"y", -2.0)])
    distribution.write(found, str(tmp_path))
    for side in ("left", "right"):
        old = found.entities(side).cast(pa.schema([("id", pa.binary()), ("count", pa.int64())]))
        pa.parquet.write_table(old, tmp_path / f"{side}.parquet")
    assert distribution.read(str(tmp_path)).left.equals(found.left)


def test_empty_split_has_no_features() -> None:
    assert statistics_of(distribution.empty()).datasets[0].num_examples == 0
