"""The job for Vertex where the graph allows it, and the reason where it does not."""

from __future__ import annotations

import json

import pytest
from tfx.components.example_validator.component import ExampleValidator
from tfx.components.schema_gen.import_schema_gen.component import ImportSchemaGen
from tfx.dsl.components.common.importer import Importer
from tfx.orchestration.pipeline import Pipeline
from tfx.types import standard_artifacts

from components.pair_statistics.component import PairStatisticsGen
from errors import ConfigError
from pipeline.config import PipelineConfig
from pipeline.kubeflow.vertex import compile_job, job_of
from pipeline.running.graph import LAST_ACCEPTED, PUSHER, RESOLVER

pytestmark = pytest.mark.tensorflow
CONFIG = PipelineConfig.model_validate({"name": "films", "data": {"path": "/gcs/bucket/span-{SPAN}/*"}})


def pipeline_without_what_looks_back() -> Pipeline:
    """Validation of examples that are there already, of the components of the graph."""
    examples = Importer("gs://bucket/examples", artifact_type=standard_artifacts.Examples).with_id("Examples")
    statistics = PairStatisticsGen(examples.outputs["result"], 1000).with_id("StatisticsGen")
    schema = ImportSchemaGen(schema_file=CONFIG.schema_path)
    validator = ExampleValidator(statistics=statistics.outputs["statistics"], schema=schema.outputs["schema"])
    return Pipeline("films", "gs://bucket/films", components=[examples, statistics, schema, validator])


def test_a_graph_that_vertex_can_express_is_a_job_of_containers() -> None:
    text = job_of(pipeline_without_what_looks_back(), "kindred:1")
    spec = json.loads(text)["pipelineSpec"]
    executors = spec["deploymentSpec"]["executors"]
    assert len(executors) == 4
    images = {e["container"]["image"] for name, e in executors.items() if "container" in e}
    assert images == {"kindred:1"}
    assert spec["root"]["dag"]["tasks"]["ExampleValidator"]["dependentTasks"] == ["ImportSchemaGen", "StatisticsGen"]
    assert text == job_of(pipeline_without_what_looks_back(), "kindred:1")


def test_what_vertex_cannot_express_is_named_with_its_reason() -> None:
    with pytest.raises(ConfigError) as refused:
        compile_job(CONFIG)
    words = str(refused.value)
    assert f"  {LAST_ACCEPTED}: it looks up artifacts by LastAcceptedOtherData" in words
    assert f"  {RESOLVER}: it looks up artifacts by LatestBlessedOtherModel" in words
    assert "  PairExampleGen: its output quarantine is a Quarantine" in words
    assert f"  {PUSHER}: it publishes by renaming" in words
    assert "--target kubeflow" in words and refused.value.exit_code == 2
