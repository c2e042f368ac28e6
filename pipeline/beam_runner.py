"""Beam's runners of engines elsewhere, whose jobs have an end: a deadline, a cancel, and the reason of a failure."""

from __future__ import annotations

import re
from typing import Any

from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.portability import flink_runner, portable_runner, spark_runner
from apache_beam.runners.runner import PipelineState

from pipeline.errors import EngineError

_MOST_WORDS = 600


class JobOptions(PipelineOptions):
    """Options of ours on Beam's command line."""

    @classmethod
    def _add_argparse_args(cls, parser: Any) -> None:
        parser.add_argument("--kindred_job_seconds", type=int, default=0, help="what a job may take; 0: any time")


class _Result:
    """A running job of which `wait_until_finish` ends the wait, and the job, in time."""

    def __init__(self, job: Any, seconds: int) -> None:
        self._job = job
        self._seconds = seconds

    def wait_until_finish(self, duration: int | None = None) -> str:
        """Waits for the end; `duration` in milliseconds is the caller's own patience.

        Raises:
          EngineError: the job failed, was cancelled, or is not done in time; it does not go on.
        """
        milliseconds = min(filter(None, (duration, self._seconds * 1000)), default=None)
        try:
            state = self._job.wait_until_finish(milliseconds)
        except RuntimeError as error:
            raise EngineError(f"a Beam job failed: {reason(str(error))}") from error
        except BaseException:
            # Ctrl-C, or the job server is gone: nobody would look after the job.
            self._cancel()
            raise
        if not PipelineState.is_terminal(state):
            self._cancel()
            raise EngineError(
                f"a Beam job was not done after {(milliseconds or 0) / 1000:,.0f} s (beam.job_seconds) and has been "
                "cancelled; look at the engine for what it waits for, or raise beam.job_seconds"
            )
        return str(state)

    def _cancel(self) -> None:
        try:
            self._job.cancel()
        except Exception:
            # The first error is the one to see.
            return

    def __getattr__(self, name: str) -> Any:
        return getattr(self._job, name)


class _Watched:
    """Makes every job of a runner one that ends."""

    def run_portable_pipeline(self, pipeline: Any, options: PipelineOptions) -> Any:
        """Submits the pipeline."""
        job = super().run_portable_pipeline(pipeline, options)  # type: ignore[misc]
        return _Result(job, options.view_as(JobOptions).kindred_job_seconds)


class PortableRunner(_Watched, portable_runner.PortableRunner):
    """Hands jobs to a job server that runs already."""


class FlinkRunner(_Watched, flink_runner.FlinkRunner):
    """Starts Beam's own job server for a Flink cluster."""


class SparkRunner(_Watched, spark_runner.SparkRunner):
    """Starts Beam's own job server for a Spark cluster."""


_PYTHON_ERROR = re.compile(r"^(\w+(?:\.\w+)*(?:Error|Exception|Refused|Interrupt)\b.*)$", re.MULTILINE)
_WORKER_START = re.compile(r"a Beam worker could not start: .*")


def reason(text: str) -> str:
    """What an engine's chain of Java exceptions comes down to: the worker's own error where there is one."""
    if found := _WORKER_START.search(text):
        return found.group(0)[:_MOST_WORDS]
    if "Traceback (most recent call last)" in text:
        python = text[text.rindex("Traceback (most recent call last)") :]
        if errors := _PYTHON_ERROR.findall(python):
            return str(errors[-1])[:_MOST_WORDS]
    line = next((line for line in reversed(text.splitlines()) if "Caused by:" in line), "")
    first = (text.strip().splitlines() or ["it gave no reason"])[0]
    return (line.split("Caused by:")[-1].strip() or first)[:_MOST_WORDS]
