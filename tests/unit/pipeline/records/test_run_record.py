"""The fields of summary.json, and concurrent reads."""

from __future__ import annotations

import json
import os
import platform
import threading
import time
from datetime import datetime
from importlib.metadata import version
from pathlib import Path

import pytest

from pipeline.config import PipelineConfig
from pipeline.records.run_record import EXIT_CODES, RunRecord

# The documented contract: every key of summary.json.
KEYS = {
    "pipeline", "run_id", "status", "config", "started", "seconds", "components", "data", "metrics", "blessed",
    "blessing", "published", "versions",
}  # fmt: skip


@pytest.fixture
def record() -> RunRecord:
    config = PipelineConfig.model_validate({"name": "films", "data": {"path": "/d.csv"}, "train": {"epochs": 3}})
    return RunRecord.begin(config, "20260101-000000-000")


def _written(record: RunRecord, path: Path) -> dict:
    record.write(path, time.monotonic() - 2)
    return json.loads(path.read_text(encoding="utf-8"))


def test_new_run_is_failed_and_empty(record: RunRecord, tmp_path: Path) -> None:
    summary = _written(record, tmp_path / "summary.json")
    assert set(summary) == KEYS
    assert (summary["pipeline"], summary["run_id"], summary["status"]) == ("films", "20260101-000000-000", "failed")
    assert (summary["metrics"], summary["data"], summary["components"], summary["blessing"]) == ({}, {}, [], [])
    assert summary["blessed"] is False and summary["published"] is None
    assert summary["config"]["train"]["epochs"] == 3 and summary["config"]["schema"].endswith("pairs.pbtxt")
    assert 2 <= summary["seconds"] < 60
    assert datetime.fromisoformat(summary["started"]).utcoffset() is not None
    assert PipelineConfig.model_validate(summary["config"]).name == "films"


def test_versions_match_installed_packages(record: RunRecord, tmp_path: Path) -> None:
    versions = _written(record, tmp_path / "summary.json")["versions"]
    assert versions["python"] == platform.python_version()
    assert {"kindred", "tfx", "tensorflow", "keras"} < set(versions)
    assert all(versions[name] == version(name) for name in versions if name != "python")


def test_error_is_recorded_only_if_set(record: RunRecord, tmp_path: Path) -> None:
    record.error = "grün"
    assert _written(record, tmp_path / "summary.json")["error"] == "grün"
    record.error = None
    assert "error" not in _written(record, tmp_path / "summary.json")


@pytest.mark.parametrize("field", ["tuning", "warm_start"])
def test_unused_fields_are_absent(record: RunRecord, tmp_path: Path, field: str) -> None:
    assert field not in _written(record, tmp_path / "summary.json")
    setattr(record, field, {"some": 1})
    assert _written(record, tmp_path / "summary.json")[field] == {"some": 1}


def test_reader_sees_complete_records(record: RunRecord, tmp_path: Path) -> None:
    path = tmp_path / "summary.json"
    record.write(path, 0.0)
    done, read = threading.Event(), []

    def reader() -> None:
        while not done.is_set():
            read.append(len(json.loads(path.read_text(encoding="utf-8"))["components"]))

    thread = threading.Thread(target=reader)
    thread.start()
    for number in range(100):
        record.components.append({"id": f"node {number}", "state": "executed", "seconds": 0.1})
        record.write(path, 0.0)
    done.set()
    thread.join()
    assert read and read == sorted(read)
    assert _written(record, path)["components"][-1]["id"] == "node 99"
    assert os.listdir(tmp_path) == ["summary.json"]


def test_each_status_has_its_exit_code() -> None:
    refusals = {"data_refused": 3, "model_refused": 4, "awaiting_approval": 5}
    assert {"published": 0, "tuned": 0, "failed": 1, **refusals} == EXIT_CODES
