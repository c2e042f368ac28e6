"""The rules of the gate, as pure functions of TensorFlow Data Validation's protos."""

from __future__ import annotations

from collections.abc import Mapping

from tensorflow_metadata.proto.v0 import anomalies_pb2, statistics_pb2

MINIMUM_ROWS = {"train": 10, "eval": 1}


def broken_rules(
    anomalies: Mapping[str, anomalies_pb2.Anomalies],
    statistics: Mapping[str, statistics_pb2.DatasetFeatureStatisticsList],
) -> list[str]:
    """Every rule that the splits break, a sentence each; empty where the data may pass."""
    broken = [fault for split in sorted(statistics) for fault in _row_faults(split, statistics[split])]
    return broken + [fault for split in sorted(anomalies) for fault in _anomaly_faults(split, anomalies[split])]


def row_count(statistics: statistics_pb2.DatasetFeatureStatisticsList) -> int:
    """Rows that `statistics` describe."""
    return sum(int(dataset.num_examples) for dataset in statistics.datasets)


def _row_faults(split: str, statistics: statistics_pb2.DatasetFeatureStatisticsList) -> list[str]:
    rows, least = row_count(statistics), MINIMUM_ROWS.get(split, 1)
    if rows >= least:
        return []
    return [f"split {split}: {rows} rows, and at least {least} are needed; give more pairs, or change data.split"]


def _anomaly_faults(split: str, anomalies: anomalies_pb2.Anomalies) -> list[str]:
    """Schema anomalies of severity ERROR; warnings do not stop a run."""
    return [
        f"split {split}: feature {feature}: {info.short_description}: {info.description}"
        for feature, info in sorted(anomalies.anomaly_info.items())
        if info.severity == anomalies_pb2.AnomalyInfo.ERROR
    ]
