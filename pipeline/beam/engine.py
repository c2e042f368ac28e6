"""Checks within the first second of a run, before slow imports and any writes, that its engine is available."""

from __future__ import annotations

import shutil
import socket
import time

from errors import ConfigError, ServiceUnavailable, StoreError, StoreUnavailable
from pipeline.beam import flink_rest, profiles
from pipeline.config.sections.beam import Beam
from storage import by_url

_CONNECT_SECONDS = 5.0
_SLOTS_SECONDS = 15.0


def check_engine(settings: Beam) -> None:
    """Checks that there is a job server, free slots if the engine is Flink, and a bucket if it is Dataflow.

    Raises:
      ConfigError: this machine lacks a requirement of the profile.
      StoreError, StoreUnavailable: this machine has no access to the bucket of Dataflow's workers.
      ServiceUnavailable: the engine does not answer, or has too few slots.
    """
    profiles.ingest_options(settings)
    if settings.dataflow is not None and settings.profile == "dataflow":
        _find_folder(settings.dataflow.temp_location)
    if not settings.is_engine:
        return
    if settings.jobs_at is None:
        if settings.environment == "loopback" or shutil.which("java") is not None:
            return
        raise ConfigError(
            f"beam.{settings.profile}_master: Beam starts its own job server here, which needs `java` on PATH. "
            "Install a JRE, or set beam.job_endpoint to a running job server"
        )
    _connect(settings, settings.jobs_at)
    if settings.flink_url is not None:
        _check_slots(settings, settings.flink_url)


def _find_folder(url: str) -> None:
    """Checks that this machine has access to the bucket of the workers."""
    try:
        by_url.find(f"{url.rstrip('/')}/kindred")
    except (StoreError, StoreUnavailable) as error:
        raise type(error)(f"beam.dataflow.temp_location: {error}") from None


def _connect(settings: Beam, endpoint: str) -> None:
    host, _, port = endpoint.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), _CONNECT_SECONDS).close()
    except OSError as error:
        raise ServiceUnavailable(
            f"beam.job_endpoint: Beam's job server at {endpoint} does not answer ({error.strerror or error}). "
            f"{_NEXT[settings.uses_loopback_cluster]}"
        ) from None


_NEXT = {
    True: "Start one with a local cluster with `make flink-up`, or set beam.flink_master to another cluster",
    False: "Start it, or correct the key",
}


def _check_slots(settings: Beam, url: str) -> None:
    """Waits briefly for slots that a previous job has not released yet."""
    deadline = time.monotonic() + _SLOTS_SECONDS
    while True:
        try:
            cluster = flink_rest.overview(url)
        except (OSError, ValueError) as error:
            raise ServiceUnavailable(
                f"beam.flink_master: Flink at {url} is not a working Flink REST interface ({error})"
            ) from None
        if cluster["slots-available"] >= settings.parallelism:
            return
        if cluster["slots-total"] < settings.parallelism or time.monotonic() > deadline:
            raise ServiceUnavailable(
                f"beam.parallelism: needs {settings.parallelism} slots, but only {cluster['slots-available']} of the "
                f"{cluster['slots-total']} of Flink at {url} are free "
                f"(task managers: {cluster.get('taskmanagers', '?')}). "
                "Lower it, wait for other jobs, or start more task managers"
            )
        time.sleep(0.5)
