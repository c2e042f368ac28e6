"""The graph as a job of Vertex AI Pipelines, through TFX's own runner, where that can express it."""

from __future__ import annotations

import json
from pathlib import Path

from tfx.dsl.components.base import base_component, base_node
from tfx.dsl.components.base.executor_spec import BeamExecutorSpec, ExecutorClassSpec
from tfx.dsl.components.common.resolver import RESOLVER_STRATEGY_CLASS, Resolver
from tfx.dsl.input_resolution.strategies.latest_artifact_strategy import LatestArtifactStrategy
from tfx.dsl.input_resolution.strategies.latest_blessed_model_strategy import LatestBlessedModelStrategy
from tfx.orchestration.kubeflow.v2 import kubeflow_v2_dag_runner
from tfx.orchestration.pipeline import Pipeline

from components.pusher.component import VersionPusher
from errors import ConfigError
from pipeline.config import PipelineConfig
from pipeline.records.root import Root
from pipeline.running.graph import create_pipeline

_STRATEGIES = (LatestArtifactStrategy, LatestBlessedModelStrategy)


def compile_job(config: PipelineConfig) -> str:
    """The job of the graph of `config`, as JSON; where its artifacts go is said when it is submitted.

    Raises:
      ConfigError: Vertex cannot express a part of the graph; names each node and the reason.
    """
    return job_of(create_pipeline(config, Root(Path("/", config.name))), config.kubeflow.image)


def job_of(pipeline: Pipeline, image: str) -> str:
    """The job of `pipeline`, each of whose tasks runs in `image`; the same pipeline gives the same bytes.

    Raises:
      ConfigError: Vertex cannot express a node, or TFX's runner cannot; names each and the reason.
    """
    obstacles = [f"  {node.id}: {reason}" for node in pipeline.components if (reason := _obstacle(node))]
    if obstacles:
        lines = ["--target vertex: Vertex AI Pipelines cannot express the graph:", *obstacles]
        raise ConfigError("\n".join([*lines, "Kubeflow Pipelines, also on Google Cloud, can: --target kubeflow"]))
    runner = kubeflow_v2_dag_runner.KubeflowV2DagRunner(
        kubeflow_v2_dag_runner.KubeflowV2DagRunnerConfig(default_image=image, use_pipeline_spec_2_1=True)
    )
    try:
        job = runner.run(pipeline, write_out=False)
    except (NotImplementedError, TypeError, ValueError) as error:
        raise ConfigError(f"--target vertex: TFX cannot express the graph there: {error}") from error
    return json.dumps(job, indent=2, sort_keys=True) + "\n"


def _obstacle(node: base_node.BaseNode) -> str | None:
    """Why Vertex cannot run `node`; None if it can."""
    if isinstance(node, Resolver):
        strategy = node.exec_properties.get(RESOLVER_STRATEGY_CLASS)
        if strategy not in _STRATEGIES:
            name = getattr(strategy, "__name__", strategy)
            return (
                f"it looks up artifacts by {name}; there, only the latest artifact or the latest blessed model can be"
            )
        return None
    if isinstance(node, VersionPusher):
        return "it publishes by renaming a directory, and Cloud Storage cannot rename one"
    if isinstance(node, base_component.BaseComponent) and not isinstance(
        node.executor_spec, ExecutorClassSpec | BeamExecutorSpec
    ):
        return f"its executor is a {type(node.executor_spec).__name__}"
    for key, channel in node.outputs.items():
        # There, an artifact type is one of TFX's or has a name of the form package.Type.
        if not channel.type.__module__.startswith("tfx.") and "." not in channel.type.TYPE_NAME:
            return f"its output {key} is a {channel.type.TYPE_NAME}, a type that is not known there"
    return None
