"""Time limits, cancellation and failure reasons of jobs, with a fake job."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import apache_beam
import grpc
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.direct import direct_runner

from errors import EngineError
from pipeline.beam import flink_rest, probe, runner
from pipeline.beam.runner import JobOptions, NotInTime, Result, reason

pytestmark = pytest.mark.tensorflow


class Job:
    """A fake job with a planted result."""

    def __init__(self, end: str | BaseException) -> None:
        self.end, self.cancelled, self.patience = end, 0, None

    def wait_until_finish(self, milliseconds: int | None) -> str:
        self.patience = milliseconds
        if isinstance(self.end, BaseException):
            raise self.end
        return self.end

    def cancel(self) -> None:
        self.cancelled += 1


class Lost(grpc.RpcError):
    def details(self) -> str:
        return "connection refused"


def test_finished_job_returns_state() -> None:
    job = Job("DONE")
    assert Result(job, 60).wait_until_finish() == "DONE"
    assert (job.patience, job.cancelled) == (60_000, 0)


@pytest.mark.parametrize(("own", "callers", "patience"), [(60, 5_000, 5_000), (60, None, 60_000), (0, None, None)])
def test_shorter_limit_applies(own: int, callers: int | None, patience: int | None) -> None:
    job = Job("DONE")
    Result(job, own).wait_until_finish(callers)
    assert job.patience == patience


def test_late_job_is_cancelled() -> None:
    job = Job("RUNNING")
    with pytest.raises(NotInTime, match=r"did not finish within 7 s .* raise beam.job_seconds"):
        Result(job, 7).wait_until_finish()
    assert job.cancelled == 1


def test_ctrl_c_cancels_the_job() -> None:
    job = Job(KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        Result(job, 60).wait_until_finish()
    assert job.cancelled == 1


def test_failed_job_reports_worker_error() -> None:
    said = "Pipeline job failed in state FAILED: java.lang.RuntimeException: " + JAVA_AND_PYTHON
    with pytest.raises(EngineError, match=r"^a Beam job failed: ValueError: 3 is a crowd$"):
        Result(Job(RuntimeError(said)), 60).wait_until_finish()


def test_lost_job_server_is_reported() -> None:
    with pytest.raises(EngineError, match=r"the job server stopped answering \(connection refused\)"):
        Result(Job(Lost()), 60).wait_until_finish()


JAVA_AND_PYTHON = """java.util.concurrent.ExecutionException: java.lang.RuntimeException: Error received
Traceback (most recent call last):
  File "sdk_worker.py", line 1, in _execute
KeyError: 'first'

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
  File "stages.py", line 7, in process
ValueError: 3 is a crowd

\tat org.apache.beam.runners.fnexecution.control.FnApiControlClient
Caused by: java.lang.RuntimeException: Error received
"""


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (JAVA_AND_PYTHON, "ValueError: 3 is a crowd"),
        (
            "x: a Beam worker could not start: ModuleNotFoundError: No module named 'tfx'\n\tat y",
            "a Beam worker could not",
        ),
        (
            "JobException: outer\n\tat x\nCaused by: a.B: middle\n\tat y\nCaused by: a.NoResource: slots\n\tat z",
            "a.NoResource",
        ),
        ("just words\nand more", "just words"),
        ("", "it gave no reason"),
    ],
)
def test_reason_is_innermost_cause(text: str, words: str) -> None:
    assert reason(text).startswith(words)
    assert "\n" not in reason(text)


class Here(runner._Watched, direct_runner.BundleBasedDirectRunner):
    """Tests the workers in this process."""

    failure: EngineError | None = None

    def run_pipeline(self, pipeline: Any, options: PipelineOptions) -> Any:
        if self.failure is not None:
            raise self.failure
        return direct_runner.BundleBasedDirectRunner.run_pipeline(self, pipeline, options)


def trial(folder: Path) -> PipelineOptions:
    told = ["--kindred_start_seconds=9", f"--kindred_shared={folder}", "--parallelism=2", "--environment_type=EXTERNAL"]
    return PipelineOptions([*told, "--environment_config=pool:1", "--kindred_flink_url=http://flink"])


def test_equal_workers_pass_without_leftovers(tmp_path: Path) -> None:
    runner._try_workers(Here, trial(tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_different_worker_version_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def look(number: int, folder: str) -> None:
        Path(folder, f"{number}.json").write_text(json.dumps(probe.versions() | {"apache-beam": "2.1"}))

    monkeypatch.setattr(probe, "look", look)
    version = apache_beam.version.__version__
    words = rf"the Beam workers \(external pool:1\) .*have apache-beam 2.1, but this process has {version}"
    with pytest.raises(EngineError, match=words):
        runner._try_workers(Here, trial(tmp_path))


def test_workers_without_shared_files_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "look", lambda number, folder: None)
    with pytest.raises(EngineError, match=r"do not appear on this machine\. Put --root on a shared volume"):
        runner._try_workers(Here, trial(tmp_path))


def test_missing_folder_on_worker_is_reported(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"does not exist on its workers\. Put --root on a shared volume"):
        probe.look(1, str(tmp_path / "gone"))


def test_late_workers_report_engine_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Here, "failure", NotInTime("late"))
    monkeypatch.setattr(
        flink_rest, "last_error", lambda url, name: f"{url} {name}: a Beam worker could not start: no tfx"
    )
    with pytest.raises(EngineError, match="did not start within 9 s: a Beam worker could not start: no tfx"):
        runner._try_workers(Here, trial(tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_options_have_defaults() -> None:
    told = PipelineOptions([]).view_as(JobOptions)
    assert (told.kindred_job_seconds, told.kindred_start_seconds, told.kindred_shared) == (0, 60, "")
