"""Beam's runner for Google Cloud Dataflow, with errors as sentences and a time limit for each job.

It is named like Beam's own runner, because Beam decides by the name of the class that a service runs the jobs.
"""

from __future__ import annotations

from typing import Any

from apache_beam.options.pipeline_options import GoogleCloudOptions, PipelineOptions
from apache_beam.runners.dataflow import dataflow_runner
from google.api_core.exceptions import GoogleAPIError
from google.auth.exceptions import GoogleAuthError

from errors import EngineError
from pipeline.beam.runner import JobOptions, Result, reason

_REFUSED = (GoogleAPIError, GoogleAuthError, OSError)


class DataflowRunner(dataflow_runner.DataflowRunner):
    """Submits jobs to Dataflow."""

    def run_pipeline(self, pipeline: Any, options: PipelineOptions, pipeline_proto: Any = None) -> Result:
        """Stages and submits a job.

        Raises:
          EngineError: Google refuses the credentials or the job, or does not answer.
        """
        place = options.view_as(GoogleCloudOptions)
        try:
            job = super().run_pipeline(pipeline, options, pipeline_proto)
        except _REFUSED as error:
            raise EngineError(
                f"Dataflow in project {place.project}, region {place.region}, does not accept a job: "
                f"{reason(str(error))}. Check the credentials of this machine and section beam.dataflow"
            ) from error
        return Result(_Job(job), options.view_as(JobOptions).kindred_job_seconds)


class _Job:
    """A job whose failure is an error that `Result` knows."""

    def __init__(self, job: Any) -> None:
        self._job = job

    def wait_until_finish(self, duration: int | None = None) -> Any:
        try:
            return self._job.wait_until_finish(duration)
        except (dataflow_runner.DataflowRuntimeException, *_REFUSED) as error:
            raise RuntimeError(str(error)) from error

    def __getattr__(self, name: str) -> Any:
        return getattr(self._job, name)
