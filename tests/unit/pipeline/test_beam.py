"""Section `beam` and the command lines that its profiles become."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from pipeline import beam
from pipeline.beam import PROFILES, Beam, options
from pipeline.config import load_config
from pipeline.errors import ConfigError

DATAFLOW = {
    "project": "kind-red-1",
    "region": "europe-west4",
    "temp_location": "gs://bucket/temp",
    "image": "r/kindred:1",
}


def load(folder: Path, section: Any, profile: str | None = None) -> Beam:
    file = folder / "pipeline.yaml"
    file.write_text(yaml.safe_dump({"name": "films", "data": {"path": "/d.csv"}, "beam": section}))
    return load_config(file, beam_profile=profile).beam


def refusal(folder: Path, section: Any, profile: str | None = None) -> str:
    with pytest.raises(ConfigError) as refused:
        load(folder, section, profile)
    return str(refused.value)


def flags(settings: Beam, shared: str = "") -> dict[str, str | bool]:
    pairs = (flag.removeprefix("--").partition("=") for flag in options(settings, shared))
    return {name: value if equals else True for name, equals, value in pairs}


def test_a_file_without_the_section_runs_here(tmp_path: Path) -> None:
    assert load(tmp_path, {}).profile == "local"
    assert flags(load(tmp_path, {})) == {
        "runner": "DirectRunner",
        "direct_running_mode": "in_memory",
        "direct_num_workers": "1",
        "sdk_container_image": "none",
    }


def test_flink_without_an_address_is_the_cluster_of_flink_up() -> None:
    found = flags(Beam(profile="flink"), "/root/pipeline")
    assert found == {
        "runner": "pipeline.beam_runner.PortableRunner",
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


def test_flink_master_alone_lets_beam_bring_its_job_server() -> None:
    found = flags(Beam(profile="flink", flink_master="flink.example:8081", flink_version="1.20", parallelism=16))
    assert found["runner"] == "pipeline.beam_runner.FlinkRunner"
    assert (found["flink_master"], found["flink_version"], found["parallelism"]) == ("flink.example:8081", "1.20", "16")
    assert found["kindred_flink_url"] == "http://flink.example:8081"
    assert "job_endpoint" not in found


def test_a_job_server_that_runs_already_is_used(tmp_path: Path) -> None:
    section = {"flink_master": "https://flink.example/", "job_endpoint": "jobs:8099", "artifact_endpoint": "jobs:8098"}
    found = flags(load(tmp_path, section, "flink"))
    assert found["runner"] == "pipeline.beam_runner.PortableRunner"
    assert (found["job_endpoint"], found["artifact_endpoint"]) == ("jobs:8099", "jobs:8098")
    assert found["kindred_flink_url"] == "https://flink.example"
    assert "flink_master" not in found


def test_spark(tmp_path: Path) -> None:
    found = flags(load(tmp_path, {"spark_master": "spark://spark.example:7077", "job_server_jar": "/j.jar"}, "spark"))
    assert found["runner"] == "pipeline.beam_runner.SparkRunner"
    assert (found["spark_master_url"], found["spark_job_server_jar"]) == ("spark://spark.example:7077", "/j.jar")
    assert "kindred_flink_url" not in found


@pytest.mark.parametrize(
    ("section", "kind", "config"),
    [
        ({"environment": "docker", "environment_config": "r/kindred:1"}, "DOCKER", "r/kindred:1"),
        ({"environment": "process", "environment_config": '{"command": "/boot"}'}, "PROCESS", '{"command": "/boot"}'),
        ({"environment": "loopback"}, "LOOPBACK", None),
        ({"environment_config": "pool:50001"}, "EXTERNAL", "pool:50001"),
    ],
)
def test_environments(section: dict[str, Any], kind: str, config: str | None) -> None:
    found = flags(Beam(profile="flink", **section))
    assert (found["environment_type"], found.get("environment_config")) == (kind, config)


def test_dataflow_options(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(beam, "_is_installed", lambda module: module == "google.cloud.dataflow")
    more = {"staging_location": "gs://bucket/staging", "machine_type": "n2-standard-4", "max_workers": 8, "disk_gb": 50}
    more |= {"service_account": "a@kind-red-1.iam.gserviceaccount.com", "subnetwork": "regions/r/subnetworks/s"}
    found = flags(
        load(tmp_path, {"dataflow": DATAFLOW | more | {"public_ips": False, "labels": {"team": "b"}}}, "dataflow")
    )
    assert found == {
        "runner": "DataflowRunner",
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
        "no_use_public_ips": True,
        "labels": "team=b",
    }


def test_dataflow_without_its_client_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(beam, "_is_installed", lambda module: False)
    with pytest.raises(ConfigError, match="uv sync --extra cloud"):
        options(Beam(profile="dataflow", dataflow=DATAFLOW))


@pytest.mark.parametrize("profile", [*PROFILES])
def test_beam_understands_every_option_of_ours(profile: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from apache_beam.options.pipeline_options import PipelineOptions

    import pipeline.beam_runner  # noqa: F401 - defines options of ours

    monkeypatch.setattr(beam, "_is_installed", lambda module: True)
    given_options = options(Beam(profile=profile, dataflow=DATAFLOW, spark_master="local[2]"))
    found = PipelineOptions(given_options)
    known = found.get_all_options()
    for flag in given_options:
        name = flag.removeprefix("--").partition("=")[0]
        assert name in known, name


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ({"profile": "moon"}, "beam.profile: must be 'local', 'flink', 'spark' or 'dataflow' (got 'moon')"),
        ({"runner": "x"}, "beam.runner: unknown key; see docs/pipeline-file.md for the keys there are"),
        ({"parallelism": 0}, "beam.parallelism: must be greater than 0 (got 0)"),
        ({"parallelism": "2"}, "beam.parallelism: must be a valid integer (got '2')"),
        ({"start_seconds": 0}, "beam.start_seconds: must be greater than 0 (got 0)"),
        ({"job_seconds": 1.5}, "beam.job_seconds: must be a valid integer (got 1.5)"),
        ({"flink_master": "a b"}, "beam.flink_master: must have the form HOST:PORT or a URL (got 'a b')"),
        ({"flink_version": "1.0"}, "beam.flink_version: must be '1.19'"),
        ({"spark_master": "spark"}, "beam.spark_master: must have the form spark://HOST:PORT"),
        ({"job_endpoint": "localhost"}, "beam.job_endpoint: must have the form HOST:PORT (got 'localhost')"),
        ({"artifact_endpoint": ":1"}, "beam.artifact_endpoint: must have the form HOST:PORT (got ':1')"),
        ({"environment": "cloud"}, "beam.environment: must be 'external'"),
        ({"environment": "docker"}, "beam: environment_config: environment docker needs the image"),
        ({"environment": "process"}, 'beam: environment_config: environment process needs {"command": "PROGRAM"}'),
        ({"environment": "process", "environment_config": "3"}, 'environment process needs {"command": "PROGRAM"}'),
        ({"environment": "loopback", "environment_config": "x"}, "environment loopback takes none"),
        ({"profile": "spark"}, "beam: profile: spark needs spark_master, or job_endpoint"),
        ({"profile": "dataflow"}, "beam: profile: dataflow needs the section beam.dataflow"),
        ({"dataflow": {}}, "beam.dataflow.project: required, and missing"),
        ({"dataflow": DATAFLOW | {"region": "Europe"}}, "beam.dataflow.region: must have the form a region, such as"),
        ({"dataflow": DATAFLOW | {"temp_location": "/tmp"}}, "beam.dataflow.temp_location: must have the form gs://"),
        ({"dataflow": DATAFLOW | {"service_account": "me"}}, "beam.dataflow.service_account: must have the form NAME@"),
        ({"dataflow": DATAFLOW | {"max_workers": 0}}, "beam.dataflow.max_workers: must be greater than 0 (got 0)"),
    ],
)
def test_what_cannot_be_is_refused_with_key_rule_and_value(tmp_path: Path, section: Any, words: str) -> None:
    assert words in refusal(tmp_path, section)


@pytest.mark.parametrize(
    ("profile", "words"),
    [
        ("moon", "--beam moon: no such profile; there is local, flink, spark, dataflow"),
        ("spark", "--beam spark: beam.profile: spark needs spark_master"),
        ("dataflow", "--beam dataflow: beam.profile: dataflow needs the section beam.dataflow"),
    ],
)
def test_a_profile_of_the_command_line_needs_what_one_of_the_file_needs(
    tmp_path: Path, profile: str, words: str
) -> None:
    assert words in refusal(tmp_path, {}, profile)


def test_the_command_line_goes_before_the_file(tmp_path: Path) -> None:
    settings = load(tmp_path, {"profile": "flink", "parallelism": 4}, "local")
    assert (settings.profile, settings.parallelism) == ("local", 4)
    assert load(tmp_path, {"profile": "flink", "parallelism": 4}).profile == "flink"


@given(st.text(max_size=30))
def test_an_endpoint_is_refused_or_kept_as_it_stands(text: str) -> None:
    try:
        assert Beam(job_endpoint=text).job_endpoint == text
    except ValueError:
        return
    host, _, port = text.rpartition(":")
    assert host and port.isascii() and port.isdigit() and not set(host) & set(" /@\n")


def test_the_section_survives_the_way_into_a_task() -> None:
    settings = Beam(profile="spark", spark_master="yarn", dataflow=DATAFLOW)
    assert Beam.model_validate(json.loads(settings.model_dump_json())) == settings


def test_more_processes_than_one_are_processes() -> None:
    found = flags(Beam(direct_workers=3))
    assert (found["direct_running_mode"], found["direct_num_workers"]) == ("multi_processing", "3")
