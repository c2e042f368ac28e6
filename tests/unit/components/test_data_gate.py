"""The gate's rules on statistics and anomalies made by hand."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tensorflow_metadata.proto.v0 import anomalies_pb2, statistics_pb2
from tfx.types import artifact_utils, standard_artifacts

from components.artifacts import GateDecision
from components.data_gate.executor import DECISION_FILE, Executor
from components.data_gate.rules import broken_rules, row_count
from components.errors import DataRefused

pytestmark = pytest.mark.tensorflow

ERROR, WARNING = anomalies_pb2.AnomalyInfo.ERROR, anomalies_pb2.AnomalyInfo.WARNING


def _statistics(*rows: int) -> statistics_pb2.DatasetFeatureStatisticsList:
    datasets = [statistics_pb2.DatasetFeatureStatistics(num_examples=count) for count in rows]
    return statistics_pb2.DatasetFeatureStatisticsList(datasets=datasets)


def _anomalies(**features: int) -> anomalies_pb2.Anomalies:
    found = anomalies_pb2.Anomalies()
    for feature, severity in features.items():
        info = found.anomaly_info[feature]
        info.severity, info.short_description, info.description = severity, f"short {feature}", f"long {feature}"
    return found


def test_rows_are_summed_over_datasets() -> None:
    assert row_count(_statistics(3, 4)) == 7
    assert row_count(_statistics()) == 0


@pytest.mark.parametrize(
    ("train", "evaluation", "broken"), [(10, 1, []), (9, 1, ["train"]), (10, 0, ["eval"]), (0, 0, ["eval", "train"])]
)
def test_each_split_needs_its_rows(train: int, evaluation: int, broken: list[str]) -> None:
    faults = broken_rules({}, {"train": _statistics(train), "eval": _statistics(evaluation)})
    assert [fault.split(":")[0] for fault in faults] == [f"split {split}" for split in broken]
    if "train" in broken:
        assert f"split train: {train} rows, and at least 10 are needed" in faults[-1]


def test_errors_stop_and_warnings_do_not() -> None:
    anomalies = {"train": _anomalies(score=ERROR, left_id=WARNING), "eval": _anomalies(right_id=ERROR, left_id=ERROR)}
    assert broken_rules(anomalies, {"train": _statistics(10), "eval": _statistics(1)}) == [
        "split eval: feature left_id: short left_id: long left_id",
        "split eval: feature right_id: short right_id: long right_id",
        "split train: feature score: short score: long score",
    ]


def test_few_rows_and_anomalies_are_told_together() -> None:
    faults = broken_rules({"train": _anomalies(score=ERROR)}, {"train": _statistics(2)})
    assert len(faults) == 2


def _artifacts(folder: Path, rows: dict[str, int], anomalies: dict[str, anomalies_pb2.Anomalies]) -> tuple:
    """What StatisticsGen and ExampleValidator leave on disk, and where the decision goes."""
    statistics, found = standard_artifacts.ExampleStatistics(), standard_artifacts.ExampleAnomalies()
    for artifact, name in ((statistics, "statistics"), (found, "anomalies")):
        artifact.uri = str(folder / name)
        artifact.split_names = artifact_utils.encode_split_names(list(rows))
    for split, count in rows.items():
        for uri, file, proto in (
            (statistics.uri, "FeatureStats.pb", _statistics(count)),
            (found.uri, "SchemaDiff.pb", anomalies.get(split, _anomalies())),
        ):
            path = Path(uri, f"Split-{split}", file)
            path.parent.mkdir(parents=True)
            path.write_bytes(proto.SerializeToString())
    decision = GateDecision()
    decision.uri = str(folder / "decision")
    Path(decision.uri).mkdir()
    return {"statistics": [statistics], "anomalies": [found]}, {"decision": [decision]}


def test_the_executor_records_what_it_let_pass(tmp_path: Path) -> None:
    inputs, outputs = _artifacts(tmp_path, {"train": 90, "eval": 10}, {"train": _anomalies(score=WARNING)})
    Executor().Do(inputs, outputs, {})
    record = json.loads((tmp_path / "decision" / DECISION_FILE).read_text())
    assert record == {"accepted": True, "rows": {"train": 90, "eval": 10}}


def test_the_executor_refuses_and_records_nothing(tmp_path: Path) -> None:
    inputs, outputs = _artifacts(tmp_path, {"train": 90, "eval": 0}, {"train": _anomalies(score=ERROR)})
    with pytest.raises(DataRefused) as refused:
        Executor().Do(inputs, outputs, {})
    assert refused.value.exit_code == 3
    assert [line.split(":")[0] for line in str(refused.value).splitlines()] == ["split eval", "split train"]
    assert list((tmp_path / "decision").iterdir()) == []
