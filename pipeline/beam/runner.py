"""Beam runners for remote engines: they test the workers before the first job, and limit the time of every job."""

from __future__ import annotations

import copy
import json
import os
import re
import shutil
import uuid
from typing import Any

import apache_beam as beam
import grpc
from apache_beam.options.pipeline_options import GoogleCloudOptions, PipelineOptions, PortableOptions
from apache_beam.runners.portability import flink_runner, portable_runner
from apache_beam.runners.runner import PipelineState

from components import engine_folder
from errors import EngineError
from pipeline.beam import flink_rest, probe

_MOST_WORDS = 600


class JobOptions(PipelineOptions):
    """Our additional Beam options."""

    @classmethod
    def _add_argparse_args(cls, parser: Any) -> None:
        parser.add_argument(
            "--kindred_job_seconds", type=int, default=0, help="time limit of a job in seconds (0: none)"
        )
        parser.add_argument(
            "--kindred_start_seconds", type=int, default=60, help="time limit for the start of a worker in seconds"
        )
        parser.add_argument("--kindred_shared", default="", help="a folder that workers must access")
        parser.add_argument(engine_folder.OPTION, default="", help="a folder in an object store for workers")
        parser.add_argument("--kindred_flink_url", default="", help="Flink's REST interface, if known")


class Result:
    """A running job. `wait_until_finish` limits the wait, and cancels the job after it."""

    def __init__(self, job: Any, seconds: int) -> None:
        self._job = job
        self._seconds = seconds

    def wait_until_finish(self, duration: int | None = None) -> str:
        """Waits for the end of the job.

        Args:
          duration: the caller's limit in milliseconds.

        Raises:
          EngineError: the job failed or was cancelled.
          NotInTime: the job exceeded the limit. It is cancelled.
        """
        milliseconds = min(filter(None, (duration, self._seconds * 1000)), default=None)
        try:
            state = self._job.wait_until_finish(milliseconds)
        except grpc.RpcError as error:
            raise EngineError(
                f"a Beam job was lost because the job server stopped answering ({_status(error)})"
            ) from error
        except RuntimeError as error:
            raise EngineError(f"a Beam job failed: {reason(str(error))}") from error
        except BaseException:
            # After Ctrl-C, nobody would monitor the job.
            self._cancel()
            raise
        if not PipelineState.is_terminal(state):
            self._cancel()
            raise NotInTime(
                f"a Beam job did not finish within {(milliseconds or 0) / 1000:,.0f} s and was cancelled. Check the "
                "state of the engine, or raise beam.job_seconds"
            )
        return str(state)

    def _cancel(self) -> None:
        try:
            self._job.cancel()
        except (grpc.RpcError, RuntimeError):
            # Keep the first error, not one of the cancellation.
            return

    def __getattr__(self, name: str) -> Any:
        return getattr(self._job, name)


class NotInTime(EngineError):
    """A job exceeded its time limit."""


class _Watched:
    """Limits the time of every job, and tests the workers before the first one."""

    _tried: set[str] = set()

    def run_portable_pipeline(self, pipeline: Any, options: PipelineOptions) -> Any:
        """Submits the pipeline.

        Raises:
          EngineError: there is no job server, or no suitable worker.
        """
        job_options = options.view_as(JobOptions)
        tried = str(options.get_all_options(drop_default=True).get("environment_config"))
        if job_options.kindred_shared and tried not in self._tried:
            _try_workers(type(self), options)
            self._tried.add(tried)
        try:
            job = super().run_portable_pipeline(pipeline, options)  # type: ignore[misc]
        except grpc.FutureTimeoutError:
            raise EngineError(f"Beam's job server does not answer: {_job_server(options)}") from None
        except grpc.RpcError as error:
            raise EngineError(f"Beam's job server refuses a job: {reason(_status(error))}") from error
        except (OSError, RuntimeError, ValueError) as error:
            raise EngineError(f"Beam's job server could not be started: {reason(str(error))}") from error
        return Result(job, job_options.kindred_job_seconds)


class PortableRunner(_Watched, portable_runner.PortableRunner):
    """Submits jobs to a running job server."""


class FlinkRunner(_Watched, flink_runner.FlinkRunner):
    """Starts Beam's own job server for a Flink cluster."""


def _try_workers(runner: type, options: PipelineOptions) -> None:
    """Collects the versions of the workers in a separate short job.

    Raises:
      EngineError: no worker starts, a worker cannot access the files of the run, or its packages differ from this
        process.
    """
    trial = copy.deepcopy(options)
    told, place = trial.view_as(JobOptions), trial.view_as(PortableOptions)
    folder = os.path.join(told.kindred_shared, f".beam-check-{uuid.uuid4().hex}")
    told.kindred_job_seconds, told.kindred_shared = told.kindred_start_seconds, ""
    name = f"kindred-check-{uuid.uuid4().hex[:8]}"
    trial.view_as(GoogleCloudOptions).job_name = name
    count = int(trial.get_all_options().get("parallelism") or 1)
    who = f"the Beam workers ({place.environment_type.lower()} {place.environment_config or ''}".rstrip() + ")"
    os.makedirs(folder)
    try:
        with beam.Pipeline(runner=runner(), options=trial) as pipeline:
            looked = pipeline | beam.Create(range(count)) | beam.Reshuffle()
            _ = looked | beam.Map(probe.look, folder)
        _compare(who, folder)
    except NotInTime:
        why = flink_rest.last_error(told.kindred_flink_url, name) if told.kindred_flink_url else ""
        detail = reason(why) if why else "check the logs of the engine's task managers and of the workers"
        raise EngineError(f"{who} did not start within {told.kindred_start_seconds} s: {detail}") from None
    except EngineError as error:
        raise EngineError(f"{who} cannot be used: {error}") from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _compare(who: str, folder: str) -> None:
    """Compares the workers' versions with the local ones."""
    here, files = probe.versions(), [name for name in os.listdir(folder) if name.endswith(".json")]
    if not files:
        raise EngineError(f"their files in {folder} do not appear on this machine. Put --root on a shared volume")
    for name in files:
        with open(os.path.join(folder, name), encoding="utf-8") as file:
            there = json.load(file)
        for package, version in here.items():
            if there.get(package) != version:
                raise EngineError(
                    f"{who} have {package} {there.get(package, 'not at all')}, but this process has {version}. Install "
                    "the same lock file on both"
                )


def _job_server(options: PipelineOptions) -> str:
    endpoint = options.view_as(PortableOptions).job_endpoint
    return f"{endpoint} (beam.job_endpoint)" if endpoint else "started by Beam on this machine"


def _status(error: grpc.RpcError) -> str:
    """Returns the message of a gRPC error."""
    details = getattr(error, "details", None)
    return str(details() if callable(details) else error) or type(error).__name__


_PYTHON_ERROR = re.compile(r"^(\w+(?:\.\w+)*(?:Error|Exception|Refused|Interrupt)\b.*)$", re.MULTILINE)
_WORKER_START = re.compile(r"a Beam worker could not start: .*")


def reason(text: str) -> str:
    """Returns the cause in an engine's chain of Java exceptions: the worker's own error if there is one."""
    if match := _WORKER_START.search(text):
        return match.group(0)[:_MOST_WORDS].strip()
    if "Traceback (most recent call last)" in text:
        python = text[text.rindex("Traceback (most recent call last)") :]
        if errors := _PYTHON_ERROR.findall(python):
            return str(errors[-1])[:_MOST_WORDS]
    line = next((line for line in reversed(text.splitlines()) if "Caused by:" in line), "")
    first = (text.strip().splitlines() or ["it gave no reason"])[0]
    return (line.split("Caused by:")[-1].strip() or first)[:_MOST_WORDS]
