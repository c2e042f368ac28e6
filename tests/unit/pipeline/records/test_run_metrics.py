"""metrics.prom, read by the parsers of the Prometheus client."""

from __future__ import annotations

import datetime
import math
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import parser
from prometheus_client.openmetrics import parser as openmetrics

from pipeline.config import PipelineConfig
from pipeline.records.root import Root
from pipeline.records.run_metrics import FILE, to_text, write_metrics
from pipeline.records.run_record import RunRecord

_FILE = {"name": "films", "data": {"path": "a.csv", "columns": {"left": "l", "right": "r"}}}


@pytest.fixture
def record() -> RunRecord:
    record = RunRecord.begin(PipelineConfig.model_validate(_FILE), "20261128-120000-000")
    record.status, record.seconds, record.published = "published", 12.5, "serving/7"
    record.started = "2026-11-28T12:00:00+00:00"
    record.data = {"rows": 5000}
    record.metrics = {"rmse": 0.25, 'odd"\\\n': math.nan}
    record.components = [
        {"id": "Trainer", "state": "executed", "seconds": 3.5},
        {"id": "Transform", "state": "cached", "seconds": 0.1},
    ]
    return record


@pytest.mark.parametrize("parse", [openmetrics.text_string_to_metric_families, parser.text_string_to_metric_families])
def test_both_parsers_read_all_values(record: RunRecord, parse: Any) -> None:
    samples = [sample for family in parse(to_text(record, 0)) for sample in family.samples]
    values = {(s.name, *(v for k, v in s.labels.items() if k != "pipeline")): s.value for s in samples}
    assert all(sample.labels["pipeline"] == "films" for sample in samples)
    assert values[("kindred_run_status", "published")] == 1
    assert sum(value for key, value in values.items() if key[0] == "kindred_run_status") == 1
    assert values[("kindred_run_exit_code",)] == 0
    start = datetime.datetime(2026, 11, 28, 12, tzinfo=datetime.timezone.utc).timestamp()
    assert values[("kindred_run_start_timestamp_seconds",)] == start
    assert values[("kindred_run_duration_seconds",)] == 12.5
    assert values[("kindred_run_rows",)] == 5000
    assert values[("kindred_run_metric", "rmse")] == 0.25
    assert math.isnan(values[("kindred_run_metric", 'odd"\\\n')])
    assert values[("kindred_run_published_version",)] == 7
    assert [(k, v) for k, v in values.items() if k[0].startswith("kindred_component")] == [
        (("kindred_component_duration_seconds", "Trainer"), 3.5)
    ]


def test_failed_run_omits_what_it_did_not_compute(tmp_path: Path) -> None:
    root = Root(tmp_path)
    root.runs.mkdir()
    failed = RunRecord.begin(PipelineConfig.model_validate(_FILE), "20261128-120000-000")
    write_metrics(root, failed, 1)
    text = (root.runs / FILE).read_text()
    assert "kindred_run_exit_code" in text and 'status="failed"} 1.0' in text
    assert "kindred_run_rows" not in text and "version" not in text
    assert [path.name for path in root.runs.iterdir()] == [FILE]
