"""Section `beam`: valid values, and the profile of the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pydantic
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from errors import ConfigError
from pipeline.config import PipelineConfig, load_config
from pipeline.config.sections.beam import Beam
from tests.unit.pipeline.config.pipeline_files import DATAFLOW


def load(folder: Path, section: Any, profile: str | None = None) -> Beam:
    file = folder / "pipeline.yaml"
    file.write_text(yaml.safe_dump({"name": "films", "data": {"path": "/d.csv"}, "beam": section}))
    return load_config(file, beam_profile=profile).beam


def refusal(folder: Path, section: Any, profile: str | None = None) -> str:
    with pytest.raises(ConfigError) as refused:
        load(folder, section, profile)
    return str(refused.value)


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ({"profile": "moon"}, "beam.profile: must be 'local', 'flink' or 'dataflow' (got 'moon')"),
        ({"runner": "x"}, "beam.runner: unknown key. Choose from artifact_endpoint, "),
        ({"parallelism": 0}, "beam.parallelism: must be greater than 0 (got 0)"),
        ({"parallelism": "2"}, "beam.parallelism: must be a valid integer (got '2')"),
        ({"start_seconds": 0}, "beam.start_seconds: must be greater than 0 (got 0)"),
        ({"job_seconds": 1.5}, "beam.job_seconds: must be a valid integer (got 1.5)"),
        ({"flink_master": "a b"}, "beam.flink_master: must have the form HOST:PORT or a URL (got 'a b')"),
        ({"flink_version": "1.0"}, "beam.flink_version: must be '1.19'"),
        ({"job_endpoint": "localhost"}, "beam.job_endpoint: must have the form HOST:PORT (got 'localhost')"),
        ({"artifact_endpoint": ":1"}, "beam.artifact_endpoint: must have the form HOST:PORT (got ':1')"),
        ({"environment": "cloud"}, "beam.environment: must be 'external'"),
        ({"environment": "docker"}, "beam: environment_config: environment docker needs the image"),
        (
            {"environment": "process"},
            'beam: environment_config: environment process needs the JSON {"command": "PROGRAM"}',
        ),
        (
            {"environment": "process", "environment_config": "3"},
            'environment process needs the JSON {"command": "PROGRAM"}',
        ),
        ({"environment": "loopback", "environment_config": "x"}, "environment loopback takes no configuration"),
        ({"profile": "dataflow"}, "beam: profile: dataflow needs the section beam.dataflow"),
        ({"dataflow": {}}, "beam.dataflow.project: required key is missing"),
        ({"dataflow": DATAFLOW | {"region": "Europe"}}, "beam.dataflow.region: must have the form a region, such as"),
        ({"dataflow": DATAFLOW | {"temp_location": "/tmp"}}, "beam.dataflow.temp_location: must have the form gs://"),
        ({"dataflow": DATAFLOW | {"service_account": "me"}}, "beam.dataflow.service_account: must have the form NAME@"),
        ({"dataflow": DATAFLOW | {"max_workers": 0}}, "beam.dataflow.max_workers: must be greater than 0 (got 0)"),
    ],
)
def test_invalid_value_names_key_rule_and_value(tmp_path: Path, section: Any, words: str) -> None:
    assert words in refusal(tmp_path, section)


@pytest.mark.parametrize(
    ("profile", "words"),
    [
        ("moon", "--beam moon: unknown profile. Choose from local, flink, dataflow"),
        ("spark", "--beam spark: unknown profile. Choose from local, flink, dataflow"),
        ("dataflow", "--beam dataflow: beam.profile: dataflow needs the section beam.dataflow"),
    ],
)
def test_command_line_profile_is_validated(tmp_path: Path, profile: str, words: str) -> None:
    assert words in refusal(tmp_path, {}, profile)


def test_command_line_profile_overrides_file(tmp_path: Path) -> None:
    settings = load(tmp_path, {"profile": "flink", "parallelism": 4}, "local")
    assert (settings.profile, settings.parallelism) == ("local", 4)
    assert load(tmp_path, {"profile": "flink", "parallelism": 4}).profile == "flink"
    assert load(tmp_path, {"flink_master": "h:1"}, "flink").profile == "flink"


@given(st.text(max_size=30))
def test_endpoint_is_refused_or_unchanged(text: str) -> None:
    try:
        assert Beam(job_endpoint=text).job_endpoint == text
    except ValueError:
        return
    host, _, port = text.rpartition(":")
    assert host and port.isascii() and port.isdigit() and not set(host) & set(" /@\n")


def test_section_reaches_task_unchanged() -> None:
    settings = Beam(profile="flink", flink_master="h:1", dataflow=DATAFLOW)
    assert Beam.model_validate(json.loads(settings.model_dump_json())) == settings


@pytest.mark.parametrize(
    ("sections", "words"),
    [
        ({}, "data.path: with beam.profile dataflow, a URL that begins with gs://"),
        ({"data": {"path": "gs://b/d.csv"}, "storage": {"endpoint": "http://h:1"}}, "storage.endpoint: not with beam"),
    ],
)
def test_workers_of_dataflow_read_googles_store(sections: dict[str, Any], words: str) -> None:
    tree = {"name": "films", "data": {"path": "/d.csv"}, "beam": {"profile": "dataflow", "dataflow": DATAFLOW}}
    with pytest.raises(pydantic.ValidationError, match=words):
        PipelineConfig.model_validate(tree | sections)
