"""Section `beam`: where ingest, statistics and Transform run."""

from __future__ import annotations

import json
from typing import Annotated, Literal, get_args

import pydantic
from pydantic import AfterValidator, Field, StrictBool, StrictStr

from sections import PositiveInt, Section, Text

Profile = Literal["local", "flink", "dataflow"]
PROFILES: tuple[str, ...] = get_args(Profile)


def _matching(pattern: str, form: str) -> AfterValidator:
    """Returns a validator whose message describes the form in words instead of the pattern."""
    adapter = pydantic.TypeAdapter(Annotated[str, Field(pattern=pattern)])

    def check(value: str) -> str:
        try:
            return adapter.validate_python(value)
        except pydantic.ValidationError:
            raise ValueError(f"must have the form {form}") from None

    return AfterValidator(check)


_HOST = r"([A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9a-fA-F:]+\])"
Endpoint = Annotated[StrictStr, _matching(rf"^{_HOST}:[0-9]{{1,5}}$", "HOST:PORT")]
FlinkMaster = Annotated[StrictStr, _matching(rf"^(https?://)?{_HOST}(:[0-9]{{1,5}})?(/[^?#]*)?$", "HOST:PORT or a URL")]
Bucket = Annotated[StrictStr, _matching(r"^gs://[a-z0-9][a-z0-9._-]+(/.*)?$", "gs://BUCKET/PATH")]

LOOPBACK_MASTER, LOOPBACK_JOBS = "localhost:8081", "localhost:8099"
"""The addresses of `make flink-up`."""


class Dataflow(Section):
    """A job on Google Cloud Dataflow. `image` must contain Kindred, its Python and Beam's boot program."""

    project: Annotated[StrictStr, _matching(r"^([a-z0-9.-]+:)?[a-z][a-z0-9-]{4,28}[a-z0-9]$", "a project's id")]
    region: Annotated[StrictStr, _matching(r"^[a-z]+-[a-z]+[0-9]+$", "a region, such as europe-west4")]
    temp_location: Bucket
    staging_location: Bucket | None = None
    image: Text
    machine_type: Text | None = None
    max_workers: PositiveInt | None = None
    disk_gb: PositiveInt | None = None
    service_account: (
        Annotated[StrictStr, _matching(r"^[^@\s]+@[^@\s]+$", "NAME@PROJECT.iam.gserviceaccount.com")] | None
    ) = None
    subnetwork: Text | None = None
    public_ips: StrictBool = True
    labels: dict[Text, StrictStr] = {}


class Beam(Section):
    """Where components that read every row run: on this machine, or on the workers of an engine."""

    profile: Profile = "local"
    direct_workers: PositiveInt = 1
    flink_master: FlinkMaster | None = None
    flink_version: Literal["1.19", "1.20", "2.0", "2.1", "2.2"] = "1.19"
    job_endpoint: Endpoint | None = None
    artifact_endpoint: Endpoint | None = None
    job_server_jar: Text | None = None
    parallelism: PositiveInt = 2
    environment: Literal["external", "docker", "process", "loopback"] = "external"
    environment_config: Text | None = None
    start_seconds: PositiveInt = 60
    job_seconds: PositiveInt = 6 * 3600
    dataflow: Dataflow | None = None

    @pydantic.model_validator(mode="after")
    def _environment_has_what_it_needs(self) -> Beam:
        if self.environment == "docker" and self.environment_config is None:
            raise ValueError("environment_config: environment docker needs the image of the workers")
        if self.environment == "process":
            try:
                has_command = "command" in json.loads(self.environment_config or "")
            except (ValueError, TypeError):
                has_command = False
            if not has_command:
                raise ValueError('environment_config: environment process needs the JSON {"command": "PROGRAM"}')
        if self.environment == "loopback" and self.environment_config is not None:
            raise ValueError("environment_config: environment loopback takes no configuration. Omit the key")
        return self

    @pydantic.model_validator(mode="after")
    def _profile_has_what_it_needs(self) -> Beam:
        if self.profile == "dataflow" and self.dataflow is None:
            raise ValueError(
                "profile: dataflow needs the section beam.dataflow with project, region, temp_location, image"
            )
        return self

    @property
    def is_engine(self) -> bool:
        """Whether the workers belong to an engine with a Beam job server."""
        return self.profile == "flink"

    @property
    def uses_loopback_cluster(self) -> bool:
        """Whether jobs run on the cluster of `make flink-up`."""
        return self.profile == "flink" and self.flink_master is None and self.job_endpoint is None

    @property
    def jobs_at(self) -> str | None:
        """The address of a running job server, or None if Beam starts one."""
        return LOOPBACK_JOBS if self.uses_loopback_cluster else self.job_endpoint

    @property
    def flink_url(self) -> str | None:
        """The URL of Flink's REST interface, if known."""
        master = LOOPBACK_MASTER if self.uses_loopback_cluster else self.flink_master
        if self.profile != "flink" or master is None:
            return None
        return (master if "://" in master else f"http://{master}").rstrip("/")

    @property
    def workers_at(self) -> str:
        """The address of the worker pool from the viewpoint of the task managers."""
        if self.environment_config is None and self.environment == "external":
            return "localhost:50000"
        return self.environment_config or ""
