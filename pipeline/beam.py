"""Named Beam profiles, and section `beam` of a pipeline file: where ingest, statistics and Transform run."""

from __future__ import annotations

import importlib.util
import json
from typing import Annotated, Literal, get_args

import pydantic
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StrictInt, StrictStr

from pipeline.errors import ConfigError

Profile = Literal["local", "flink", "spark", "dataflow"]
PROFILES: tuple[str, ...] = get_args(Profile)

PositiveInt = Annotated[StrictInt, Field(gt=0)]
Text = Annotated[StrictStr, Field(min_length=1)]


def _matching(pattern: str, form: str) -> AfterValidator:
    """Refuses what does not match, in words: a pattern is not for people."""
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
SparkMaster = Annotated[
    StrictStr,
    _matching(
        r"^(local(\[(\d+|\*)\])?|(spark|k8s|mesos)://\S+|yarn)$", "spark://HOST:PORT, yarn, k8s://URL or local[N]"
    ),
]
Bucket = Annotated[StrictStr, _matching(r"^gs://[a-z0-9][a-z0-9._-]+(/.*)?$", "gs://BUCKET/PATH")]

LOOPBACK_MASTER, LOOPBACK_JOBS = "localhost:8081", "localhost:8099"
"""Where `make flink-up` listens."""


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Dataflow(_Section):
    """A job of Google Cloud Dataflow. `image` must hold Kindred, its Python and Beam's boot program."""

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
    public_ips: pydantic.StrictBool = True
    labels: dict[Text, StrictStr] = {}


class Beam(_Section):
    """Where the components that read every row run: on this machine, or on the workers of an engine."""

    profile: Profile = "local"
    direct_workers: PositiveInt = 1
    flink_master: FlinkMaster | None = None
    flink_version: Literal["1.19", "1.20", "2.0", "2.1", "2.2"] = "1.19"
    spark_master: SparkMaster | None = None
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
            raise ValueError("environment_config: environment docker needs the image of the workers here")
        if self.environment == "process":
            try:
                has_command = "command" in json.loads(self.environment_config or "")
            except (ValueError, TypeError):
                has_command = False
            if not has_command:
                raise ValueError('environment_config: environment process needs {"command": "PROGRAM"} here, as JSON')
        if self.environment == "loopback" and self.environment_config is not None:
            raise ValueError("environment_config: environment loopback takes none; leave it out")
        return self

    @pydantic.model_validator(mode="after")
    def _profile_has_what_it_needs(self) -> Beam:
        if self.profile == "spark" and self.spark_master is None and self.job_endpoint is None:
            raise ValueError("profile: spark needs spark_master, or job_endpoint where Beam's job server runs already")
        if self.profile == "dataflow" and self.dataflow is None:
            raise ValueError(
                "profile: dataflow needs the section beam.dataflow with project, region, temp_location, image"
            )
        return self

    @property
    def is_engine(self) -> bool:
        """Whether the workers are processes of an engine with a job server of Beam's."""
        return self.profile in ("flink", "spark")

    @property
    def uses_loopback_cluster(self) -> bool:
        """Whether the jobs go to the cluster that `make flink-up` starts."""
        return self.profile == "flink" and self.flink_master is None and self.job_endpoint is None

    @property
    def jobs_at(self) -> str | None:
        """The job server that runs already; None where Beam starts one."""
        return LOOPBACK_JOBS if self.uses_loopback_cluster else self.job_endpoint

    @property
    def flink_url(self) -> str | None:
        """The URL of Flink's own REST interface, where it is known."""
        master = LOOPBACK_MASTER if self.uses_loopback_cluster else self.flink_master
        if self.profile != "flink" or master is None:
            return None
        return (master if "://" in master else f"http://{master}").rstrip("/")

    @property
    def workers_at(self) -> str:
        """What starts a worker, as the engine's task managers see it."""
        if self.environment_config is None and self.environment == "external":
            return "localhost:50000"
        return self.environment_config or ""


# Workers elsewhere would need TFX sent to them, which TFX packs anew for each component, in a second or two; naming
# a container that has it keeps TFX from that, and these runners start none.
_HAVE_TFX = "--sdk_container_image=none"


def with_profile(settings: Beam, profile: str | None) -> Beam:
    """`settings` with the profile that the command line names; None: the one they name themselves.

    Raises:
      ConfigError: there is no such profile, or the section lacks what it needs.
    """
    if profile is None:
        return settings
    if profile not in PROFILES:
        raise ConfigError(f"--beam {profile}: no such profile; there is {', '.join(PROFILES)}")
    try:
        return Beam.model_validate(settings.model_dump(exclude_unset=True) | {"profile": profile})
    except pydantic.ValidationError as error:
        fault = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise ConfigError(f"--beam {profile}: beam.{fault}; see docs/beam.md") from None


def options(settings: Beam, shared: str = "") -> list[str]:
    """Beam's command line; `shared` is the folder of a run that workers elsewhere must see.

    Raises:
      ConfigError: what the profile needs is not installed.
    """
    if settings.profile == "local":
        return _local(settings)
    if settings.profile == "dataflow":
        return _dataflow(settings)
    return _engine(settings, shared)


def _local(settings: Beam) -> list[str]:
    """One process, or as many as are asked for: each begins by importing TFX, for every job."""
    workers = settings.direct_workers
    mode = "in_memory" if workers == 1 else "multi_processing"
    return ["--runner=DirectRunner", f"--direct_running_mode={mode}", f"--direct_num_workers={workers}", _HAVE_TFX]


def _engine(settings: Beam, shared: str) -> list[str]:
    """A job server that runs already, or the one that Beam's FlinkRunner or SparkRunner brings."""
    found = [f"--runner=pipeline.beam_runner.{_RUNNERS[settings.profile if settings.jobs_at is None else 'portable']}"]
    if settings.jobs_at is not None:
        found.append(f"--job_endpoint={settings.jobs_at}")
        if settings.artifact_endpoint is not None:
            found.append(f"--artifact_endpoint={settings.artifact_endpoint}")
    elif settings.profile == "flink":
        found += [f"--flink_master={settings.flink_master}", f"--flink_version={settings.flink_version}"]
    else:
        found.append(f"--spark_master_url={settings.spark_master}")
    if settings.jobs_at is None and settings.job_server_jar is not None:
        found.append(f"--{settings.profile}_job_server_jar={settings.job_server_jar}")
    found.append(f"--environment_type={settings.environment.upper()}")
    if settings.workers_at:
        found.append(f"--environment_config={settings.workers_at}")
    # Between two stages nobody uses a job's workers for a moment: without this each stage starts new ones.
    found.append(f"--environment_cache_millis={_KEEP_WORKERS_MS}")
    found += [f"--parallelism={settings.parallelism}", f"--kindred_job_seconds={settings.job_seconds}"]
    found += [f"--kindred_start_seconds={settings.start_seconds}", f"--kindred_shared={shared}"]
    if settings.flink_url is not None:
        found.append(f"--kindred_flink_url={settings.flink_url}")
    return [*found, f"--job_server_timeout={settings.start_seconds}", _HAVE_TFX]


_KEEP_WORKERS_MS = 30_000
_RUNNERS = {"portable": "PortableRunner", "flink": "FlinkRunner", "spark": "SparkRunner"}


def _dataflow(settings: Beam) -> list[str]:
    if not _is_installed("google.cloud.dataflow"):
        raise ConfigError(
            "beam.profile: dataflow needs Beam's Google Cloud client, which a plain installation leaves out; install "
            "it with `uv sync --extra cloud` (Python 3.11 or newer)"
        )
    assert settings.dataflow
    job = settings.dataflow
    given = {
        "project": job.project,
        "region": job.region,
        "temp_location": job.temp_location,
        "staging_location": job.staging_location,
        "sdk_container_image": job.image,
        "worker_machine_type": job.machine_type,
        "max_num_workers": job.max_workers,
        "disk_size_gb": job.disk_gb,
        "service_account_email": job.service_account,
        "subnetwork": job.subnetwork,
    }
    found = ["--runner=DataflowRunner", *(f"--{key}={value}" for key, value in given.items() if value is not None)]
    # The image has everything, at the versions of the lock: workers install nothing.
    found += ["--sdk_location=container"]
    found += [] if job.public_ips else ["--no_use_public_ips"]
    return [*found, *(f"--labels={key}={value}" for key, value in job.labels.items())]


def _is_installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False
