"""Beam profiles: converts section `beam` of a pipeline file to Beam command-line options."""

from __future__ import annotations

import importlib.util

from components import engine_folder
from errors import ConfigError
from pipeline.config.sections.beam import Beam

# For remote workers, TFX would package itself again for each component, which takes a second or two. Naming a container
# with TFX avoids this, and these runners start no container.
_HAVE_TFX = "--sdk_container_image=none"


def options(settings: Beam, shared: str = "") -> list[str]:
    """Returns Beam's command-line options for nodes whose steps open the directories of the run.

    On Dataflow, this is impossible. Such nodes stay on this machine.

    Args:
      settings: section `beam` of the pipeline file.
      shared: a folder of the run that remote workers must access.

    Raises:
      ConfigError: a requirement of the profile is not installed.
    """
    return _local(settings) if settings.profile == "dataflow" else ingest_options(settings, shared)


def ingest_options(settings: Beam, shared: str = "") -> list[str]:
    """Returns Beam's command-line options for PairExampleGen, which also runs on workers that share only a store.

    Args:
      settings: section `beam` of the pipeline file.
      shared: a folder of the run that remote workers must access.

    Raises:
      ConfigError: a requirement of the profile is not installed.
    """
    if settings.profile == "local":
        return _local(settings)
    if settings.profile == "dataflow":
        return _dataflow(settings)
    return _engine(settings, shared)


def _local(settings: Beam) -> list[str]:
    """Uses one process, or the configured number. Each additional process imports TFX again for every job.

    Names the runner that Beam's DirectRunner falls back to. DirectRunner first downloads another engine, Prism, from
    GitHub, and runs the pipeline there if it can.
    """
    workers = settings.direct_workers
    mode = "in_memory" if workers == 1 else "multi_processing"
    return ["--runner=FnApiRunner", f"--direct_running_mode={mode}", f"--direct_num_workers={workers}", _HAVE_TFX]


def _engine(settings: Beam, shared: str) -> list[str]:
    """Uses a running job server, or the one of Beam's FlinkRunner."""
    if settings.jobs_at is not None:
        arguments = ["--runner=pipeline.beam.runner.PortableRunner", f"--job_endpoint={settings.jobs_at}"]
        if settings.artifact_endpoint is not None:
            arguments.append(f"--artifact_endpoint={settings.artifact_endpoint}")
    else:
        arguments = ["--runner=pipeline.beam.runner.FlinkRunner", f"--flink_master={settings.flink_master}"]
        arguments.append(f"--flink_version={settings.flink_version}")
        if settings.job_server_jar is not None:
            arguments.append(f"--flink_job_server_jar={settings.job_server_jar}")
    arguments.append(f"--environment_type={settings.environment.upper()}")
    if settings.workers_at:
        arguments.append(f"--environment_config={settings.workers_at}")
    # Between two stages a job briefly has no busy workers. Without this delay, each stage would start new ones.
    arguments.append(f"--environment_cache_millis={_KEEP_WORKERS_MS}")
    arguments += [f"--parallelism={settings.parallelism}", f"--kindred_job_seconds={settings.job_seconds}"]
    arguments += [f"--kindred_start_seconds={settings.start_seconds}", f"--kindred_shared={shared}"]
    if settings.flink_url is not None:
        arguments.append(f"--kindred_flink_url={settings.flink_url}")
    return [*arguments, f"--job_server_timeout={settings.start_seconds}", _HAVE_TFX]


_KEEP_WORKERS_MS = 30_000


def _dataflow(settings: Beam) -> list[str]:
    if not _is_installed("google.cloud.dataflow"):
        raise ConfigError(
            "beam.profile: dataflow needs Beam's Google Cloud client, which the default installation does not include. "
            "Install it with `uv sync --extra cloud` (Python 3.11 or newer)"
        )
    assert settings.dataflow
    job = settings.dataflow
    values = {
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
    runner = "--runner=pipeline.beam.dataflow.DataflowRunner"
    arguments = [runner, *(f"--{key}={value}" for key, value in values.items() if value is not None)]
    # The image contains everything at the locked versions, so that workers install nothing. Steps are in modules.
    arguments += ["--sdk_location=container", "--no_save_main_session"]
    arguments += [f"{engine_folder.OPTION}={job.temp_location.rstrip('/')}/kindred"]
    arguments += [f"--kindred_job_seconds={settings.job_seconds}"]
    arguments += [] if job.public_ips else ["--no_use_public_ips"]
    return [*arguments, *(f"--labels={key}={value}" for key, value in job.labels.items())]


def _is_installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False
