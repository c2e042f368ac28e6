"""The Beam command-line options of each profile."""

from __future__ import annotations

import os
from typing import Any

import pytest

from errors import ConfigError
from pipeline.beam import profiles
from pipeline.beam.profiles import ingest_options, options
from pipeline.config.sections.beam import PROFILES, Beam
from tests.unit.pipeline.config.pipeline_files import DATAFLOW


def flags(settings: Beam, shared: str = "") -> dict[str, str | bool]:
    pairs = (flag.removeprefix("--").partition("=") for flag in ingest_options(settings, shared))
    return {name: value if equals else True for name, equals, value in pairs}


def test_default_profile_is_local() -> None:
    assert Beam().profile == "local"
    assert flags(Beam()) == {
        "runner": "FnApiRunner",
        "direct_running_mode": "in_memory",
        "direct_num_workers": "1",
        "sdk_container_image": "none",
    }


def test_local_pipeline_runs_in_this_process_and_downloads_no_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    import apache_beam as beam
    from apache_beam.runners.portability.prism_runner import PrismRunner
    from apache_beam.testing.util import assert_that, equal_to

    started: list[str] = []
    monkeypatch.setattr(PrismRunner, "run_pipeline", lambda *_: started.append("prism"))
    with beam.Pipeline(argv=options(Beam())) as pipeline:
        assert_that(pipeline | beam.Create([1]) | beam.Map(lambda _: os.getpid()), equal_to([os.getpid()]))
    assert not started


def test_flink_defaults_to_local_cluster() -> None:
    found = flags(Beam(profile="flink"), "/root/pipeline")
    assert found == {
        "runner": "pipeline.beam.runner.PortableRunner",
        "job_endpoint": "localhost:8099",
        "environment_type": "EXTERNAL",
        "environment_config": "localhost:50000",
        "environment_cache_millis": "30000",
        "parallelism": "2",
        "kindred_job_seconds": "21600",
        "kindred_start_seconds": "60",
        "kindred_shared": "/root/pipeline",
        "kindred_flink_url": "http://localhost:8081",
        "job_server_timeout": "60",
        "sdk_container_image": "none",
    }


def test_flink_master_uses_beams_job_server() -> None:
    found = flags(Beam(profile="flink", flink_master="flink.example:8081", flink_version="1.20", parallelism=16))
    assert found["runner"] == "pipeline.beam.runner.FlinkRunner"
    assert (found["flink_master"], found["flink_version"], found["parallelism"]) == ("flink.example:8081", "1.20", "16")
    assert found["kindred_flink_url"] == "http://flink.example:8081"
    assert "job_endpoint" not in found


def test_running_job_server_is_used() -> None:
    section = {"flink_master": "https://flink.example/", "job_endpoint": "jobs:8099", "artifact_endpoint": "jobs:8098"}
    found = flags(Beam(profile="flink", **section))
    assert found["runner"] == "pipeline.beam.runner.PortableRunner"
    assert (found["job_endpoint"], found["artifact_endpoint"]) == ("jobs:8099", "jobs:8098")
    assert found["kindred_flink_url"] == "https://flink.example"
    assert "flink_master" not in found


def test_jar_is_for_the_job_server_that_beam_starts() -> None:
    found = flags(Beam(profile="flink", flink_master="h:1", job_server_jar="/j.jar"))
    assert found["flink_job_server_jar"] == "/j.jar"
    assert "flink_job_server_jar" not in flags(Beam(profile="flink", job_server_jar="/j.jar"))


@pytest.mark.parametrize(
    ("section", "kind", "config"),
    [
        ({"environment": "docker", "environment_config": "r/kindred:1"}, "DOCKER", "r/kindred:1"),
        ({"environment": "process", "environment_config": '{"command": "/boot"}'}, "PROCESS", '{"command": "/boot"}'),
        ({"environment": "loopback"}, "LOOPBACK", None),
        ({"environment_config": "pool:50001"}, "EXTERNAL", "pool:50001"),
    ],
)
def test_environment_options(section: dict[str, Any], kind: str, config: str | None) -> None:
    found = flags(Beam(profile="flink", **section))
    assert (found["environment_type"], found.get("environment_config")) == (kind, config)


def test_dataflow_options(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(profiles, "_is_installed", lambda module: module == "google.cloud.dataflow")
    more = {"staging_location": "gs://bucket/staging", "machine_type": "n2-standard-4", "max_workers": 8, "disk_gb": 50}
    more |= {"service_account": "a@kind-red-1.iam.gserviceaccount.com", "subnetwork": "regions/r/subnetworks/s"}
    more |= {"public_ips": False, "labels": {"team": "b"}}
    found = flags(Beam(profile="dataflow", dataflow=DATAFLOW | more))
    assert found == {
        "runner": "pipeline.beam.dataflow.DataflowRunner",
        "project": "kind-red-1",
        "region": "europe-west4",
        "temp_location": "gs://bucket/temp",
        "staging_location": "gs://bucket/staging",
        "sdk_container_image": "r/kindred:1",
        "worker_machine_type": "n2-standard-4",
        "max_num_workers": "8",
        "disk_size_gb": "50",
        "service_account_email": "a@kind-red-1.iam.gserviceaccount.com",
        "subnetwork": "regions/r/subnetworks/s",
        "sdk_location": "container",
        "no_save_main_session": True,
        "no_use_public_ips": True,
        "labels": "team=b",
        "kindred_engine_folder": "gs://bucket/temp/kindred",
        "kindred_job_seconds": "21600",
    }


def test_dataflow_without_client_suggests_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(profiles, "_is_installed", lambda module: False)
    with pytest.raises(ConfigError, match="uv sync --extra cloud"):
        ingest_options(Beam(profile="dataflow", dataflow=DATAFLOW))


def test_nodes_with_directories_stay_here_on_dataflow() -> None:
    assert options(Beam(profile="dataflow", dataflow=DATAFLOW)) == options(Beam())


@pytest.mark.parametrize("profile", [*PROFILES])
def test_beam_parses_every_option(profile: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from apache_beam.options.pipeline_options import PipelineOptions

    import pipeline.beam.runner  # noqa: F401 - defines our options

    monkeypatch.setattr(profiles, "_is_installed", lambda module: True)
    given_options = ingest_options(Beam(profile=profile, dataflow=DATAFLOW))
    found = PipelineOptions(given_options)
    known = found.get_all_options()
    for flag in given_options:
        name = flag.removeprefix("--").removeprefix("no_").partition("=")[0]
        assert name in known, name


def test_several_local_processes() -> None:
    found = flags(Beam(direct_workers=3))
    assert (found["direct_running_mode"], found["direct_num_workers"]) == ("multi_processing", "3")
