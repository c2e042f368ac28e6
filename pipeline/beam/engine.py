"""Whether the engine of a profile can be reached: asked in the first second, before anything is imported or written."""

from __future__ import annotations

import shutil
import socket
import time

from components.pair_example_gen.files import is_remote
from errors import ConfigError, ServiceUnavailable
from pipeline.beam import flink_rest, profiles
from pipeline.config.sections.beam import Beam

_CONNECT_SECONDS = 5.0
_SLOTS_SECONDS = 15.0


def check_engine(settings: Beam, root: str) -> None:
    """Looks whether there is a job server, and free slots where the engine is Flink.

    Raises:
      ConfigError: this machine lacks what the profile needs, or workers elsewhere could not see `root`.
      ServiceUnavailable: the engine does not answer, or has not enough slots.
    """
    check_root(settings, root)
    profiles.options(settings)
    if not settings.is_engine:
        return
    if settings.jobs_at is None:
        if settings.environment == "loopback" or shutil.which("java") is not None:
            return
        raise ConfigError(
            f"beam.{settings.profile}_master: Beam starts its job server here for it, and there is no `java` on PATH; "
            "install a JRE, or name a job server that runs with beam.job_endpoint"
        )
    _connect(settings, settings.jobs_at)
    if settings.flink_url is not None:
        _check_slots(settings, settings.flink_url)


def check_root(settings: Beam, root: str) -> None:
    """Looks whether workers could see `root`; asked first, as installing what else is missing would not help.

    Raises:
      ConfigError: they could not.
    """
    if settings.profile == "dataflow" and not is_remote(root):
        raise ConfigError(
            f"beam.profile: a run on Dataflow is not possible yet: its workers see gs:// alone, and a root is a folder "
            f"({root}); use local, or flink with workers that see that folder (docs/beam.md)"
        )


def _connect(settings: Beam, endpoint: str) -> None:
    host, _, port = endpoint.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), _CONNECT_SECONDS).close()
    except OSError as error:
        raise ServiceUnavailable(
            f"beam.job_endpoint: Beam's job server at {endpoint} does not answer ({error.strerror or error}); "
            f"{_NEXT[settings.uses_loopback_cluster]}"
        ) from None


_NEXT = {
    True: "`make flink-up` starts one with a cluster on this machine, beam.flink_master names a cluster elsewhere",
    False: "start it, or correct the key",
}


def _check_slots(settings: Beam, url: str) -> None:
    """Waits a moment for slots that a job before has not yet given back."""
    deadline = time.monotonic() + _SLOTS_SECONDS
    while True:
        try:
            found = flink_rest.overview(url)
        except (OSError, ValueError) as error:
            raise ServiceUnavailable(
                f"beam.flink_master: Flink at {url} does not answer as Flink does ({error})"
            ) from None
        if found["slots-available"] >= settings.parallelism:
            return
        if found["slots-total"] < settings.parallelism or time.monotonic() > deadline:
            raise ServiceUnavailable(
                f"beam.parallelism: {settings.parallelism} slots are needed, and {found['slots-available']} of the "
                f"{found['slots-total']} of Flink at {url} are free (task managers: {found.get('taskmanagers', '?')}); "
                "lower it, wait for other jobs, or start more task managers"
            )
        time.sleep(0.5)
