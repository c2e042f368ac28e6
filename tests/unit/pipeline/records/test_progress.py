"""Progress of live, killed and finished runs."""

from __future__ import annotations

import contextlib
import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from errors import ReportError
from pipeline.commands.why import explain
from pipeline.records.executions import Execution
from pipeline.records.progress import has_ended, headline, is_alive, may_have_changed, progress_of
from pipeline.records.run_folder import RunFolder

# A live run. It holds its lock until its input ends, and has a child that outlives it.
RUN = """
import subprocess, sys
from pathlib import Path
from pipeline.records.progress import marked_alive
from pipeline.records.run_folder import RunFolder
with marked_alive(RunFolder(Path(sys.argv[1]))):
    child = subprocess.Popen(["sleep", "60"], stdout=subprocess.DEVNULL)
    print(child.pid, flush=True)
    sys.stdin.read()
"""
STARTED = "2026-11-25T22:07:01+00:00"
UNENDED: dict[str, Any] = {
    "pipeline": "films", "run_id": "1", "status": "failed", "started": STARTED, "components": [],
}  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    folder = tmp_path / "runs" / "1"
    folder.mkdir(parents=True)
    (folder / "summary.json").write_text(json.dumps(UNENDED))
    return RunFolder(folder)


@contextlib.contextmanager
def _run(folder: RunFolder) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", RUN, str(folder.path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        child = int(process.stdout.readline())
        try:
            yield process
        finally:
            process.kill()
            subprocess.run(["kill", str(child)], check=True)


def test_run_is_alive_with_its_process(folder: RunFolder) -> None:
    assert is_alive(folder) is None
    with _run(folder) as process:
        with open(folder.running_mark, "rb"):  # a concurrent reader does not affect this one
            assert is_alive(folder) is is_alive(folder) is True
        assert headline(folder) == "films 1: running, started 2026-11-25 22:07:01 UTC, between components"
        assert may_have_changed(folder)
        with pytest.raises(ReportError, match="has not reached the evaluation"):
            list(explain(folder))
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert is_alive(folder) is False, "its child holds no lock"
        assert headline(folder) == "films 1: killed, or its machine stopped"
        assert may_have_changed(folder)
        with pytest.raises(ReportError, match="did not reach the evaluation"):
            list(explain(folder))


def test_refused_data_are_explained(folder: RunFolder) -> None:
    checks = [
        {"rule": "validate.min_rows", "value": 3.0, "bound": 10.0, "ok": False},
        {"rule": "validate.max_new_values", "about": "genres", "value": 0.25, "bound": 0.5, "ok": True},
    ]
    refusal = {"status": "data_refused", "error": "validate.min_rows: 3 rows", "data": {"checks": checks}}
    folder.summary.write_text(json.dumps(folder.read_summary() | refusal))
    text = "\n".join(explain(folder))
    assert "validate.min_rows: 3 rows" in text and "None" not in text
    assert re.search(r"validate.min_rows +broken +3 +10\n", text)
    assert re.search(r"validate.max_new_values \(genres\) +holds +0.25 +0.5", text)


def test_finished_run_shows_its_record(folder: RunFolder) -> None:
    with _run(folder) as process:
        (folder.summary).write_text(json.dumps(UNENDED | {"status": "data_refused"}))
        assert headline(folder) == "films 1: data refused"
        process.communicate()
        assert process.returncode == 0 and is_alive(folder) is False
    assert headline(folder) == "films 1: data refused" and not may_have_changed(folder)


@pytest.mark.parametrize(
    ("summary", "ended"),
    [
        ({}, False),
        ({"components": [{"id": "Transform", "state": "cached"}]}, False),
        ({"error": "interrupted"}, True),
        ({"components": [{"id": "Trainer", "state": "failed"}]}, True),
        ({"status": "published"}, True),
        ({"status": "tuned"}, True),
        ({"status": "model_refused"}, True),
    ],
)
def test_verdict_or_error_ends_run(summary: dict, ended: bool) -> None:
    assert has_ended(UNENDED | summary) is ended
    assert (progress_of(UNENDED | summary, True, {}) is None) is ended


def _node(name: str, began: float, running: bool = True) -> Execution:
    return Execution(1, "1", name, False, {}, {}, {}, running, began)


@pytest.mark.parametrize(
    ("alive", "told"),
    [
        (True, "running, at Trainer since 2026-11-25 22:08:00 UTC"),
        (False, "killed at Trainer, or its machine stopped"),
        (None, "unfinished according to its record, last at Trainer"),
    ],
)
def test_latest_running_component_is_current(alive: bool | None, told: str) -> None:
    at = datetime(2026, 11, 25, 22, 8, tzinfo=timezone.utc).timestamp()
    nodes = {"Tuner": _node("Tuner", at - 5), "Trainer": _node("Trainer", at), "Gate": _node("Gate", at + 5, False)}
    assert str(progress_of(UNENDED, alive, nodes)) == told
