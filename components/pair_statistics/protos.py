"""Converts distributions to TensorFlow Data Validation's statistics for ExampleValidator and other tools."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from tensorflow_metadata.proto.v0 import statistics_pb2

from components.pair_statistics.distribution import Distribution
from components.sorted_values import quantiles
from trainer import features

_TOP_VALUES, _RANKS, _BUCKETS = 20, 1000, 10


def statistics_of(distribution: Distribution) -> statistics_pb2.DatasetFeatureStatisticsList:
    """Returns counts, most frequent values and ranks of both ids, and moments and histograms of any score."""
    dataset = statistics_pb2.DatasetFeatureStatistics(num_examples=distribution.rows)
    if distribution.rows:
        dataset.features.extend(
            [
                _ids(features.LEFT_ID, distribution.left, distribution.rows),
                _ids(features.RIGHT_ID, distribution.right, distribution.rows),
            ]
        )
    if distribution.has_scores:
        dataset.features.append(_numbers(features.SCORE, distribution.scores))
    return statistics_pb2.DatasetFeatureStatisticsList(datasets=[dataset])


def _ids(name: str, counts: pa.Table, rows: int) -> statistics_pb2.FeatureNameStatistics:
    feature = statistics_pb2.FeatureNameStatistics(type=statistics_pb2.FeatureNameStatistics.STRING)
    feature.path.step.append(name)
    stats = feature.string_stats
    stats.common_stats.CopyFrom(_common(rows))
    stats.unique = counts.num_rows
    lengths = pc.multiply(pc.cast(pc.binary_length(counts["id"]), pa.int64()), counts["count"])
    stats.avg_length = pc.sum(lengths).as_py() / rows
    for rank, (value, count) in enumerate(_head(counts)):
        if rank < _TOP_VALUES:
            stats.top_values.add(value=value, frequency=count)
        stats.rank_histogram.buckets.add(low_rank=rank, high_rank=rank, label=value, sample_count=count)
    return feature


def _head(counts: pa.Table) -> Iterator[tuple[str, int]]:
    """Returns the most frequent ids. They are valid UTF-8, because ingestion checks this."""
    head = counts.slice(0, _RANKS)
    return zip((value.decode() for value in head["id"].to_pylist()), head["count"].to_pylist(), strict=True)


def _numbers(name: str, scores: np.ndarray) -> statistics_pb2.FeatureNameStatistics:
    feature = statistics_pb2.FeatureNameStatistics(type=statistics_pb2.FeatureNameStatistics.FLOAT)
    feature.path.step.append(name)
    values = scores.astype(np.float64)
    stats = feature.num_stats
    stats.common_stats.CopyFrom(_common(len(values)))
    stats.mean, stats.std_dev = float(values.mean()), float(values.std())
    stats.median = float(quantiles(values, [0.5])[0])
    stats.min, stats.max = float(values[0]), float(values[-1])
    stats.num_zeros = int(np.count_nonzero(values == 0))
    edges = np.histogram_bin_edges(values[[0, -1]], bins=_BUCKETS)
    below = np.searchsorted(values, edges[1:-1])
    _add_histogram(stats, statistics_pb2.Histogram.STANDARD, edges, np.diff([0, *below, len(values)]))
    tenths = quantiles(values, np.linspace(0, 1, _BUCKETS + 1))
    _add_histogram(stats, statistics_pb2.Histogram.QUANTILES, tenths, np.full(_BUCKETS, len(values) / _BUCKETS))
    return feature


def _add_histogram(stats: statistics_pb2.NumericStatistics, kind: int, edges: np.ndarray, counts: np.ndarray) -> None:
    histogram = stats.histograms.add(type=kind)
    for low, high, count in zip(edges[:-1], edges[1:], counts, strict=True):
        histogram.buckets.add(low_value=low, high_value=high, sample_count=count)


def _common(rows: int) -> statistics_pb2.CommonStatistics:
    """Returns the common statistics. Every example has one value, because the quarantine holds all others."""
    return statistics_pb2.CommonStatistics(
        num_non_missing=rows, min_num_values=1, max_num_values=1, avg_num_values=1.0, tot_num_values=rows
    )
