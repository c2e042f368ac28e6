"""The shape of a graph: its nodes and their upstream nodes. Importing this module imports TFX."""

from __future__ import annotations

import hashlib
import json

from tfx.orchestration.local import runner_utils
from tfx.proto.orchestration import executable_spec_pb2, pipeline_pb2

from errors import ConfigError
from pipeline.config import PipelineConfig
from pipeline.records.root import Root
from pipeline.running.graph import compile_graph, create_pipeline

Shape = dict[str, list[str]]
"""Node ids in the order of the graph, each with the sorted ids of the nodes it waits for."""

_RUNNABLE = (executable_spec_pb2.PythonClassExecutableSpec, executable_spec_pb2.BeamExecutableSpec)


def shape_of_config(config: PipelineConfig, root: Root) -> Shape:
    """Returns the shape of the graph of `config`.

    Raises:
      ConfigError: a node does not run as a Python process, so a task cannot run it.
    """
    graph = compile_graph(create_pipeline(config, root), "run")
    deployment = runner_utils.extract_local_deployment_config(graph)
    for entry in graph.nodes:
        node_id = entry.pipeline_node.node_info.id
        # Resolvers have no executor, because TFX's launcher runs them itself.
        executor = runner_utils.extract_executor_spec(deployment, node_id)
        if executor is not None and not isinstance(executor, _RUNNABLE):
            raise ConfigError(f"{node_id}: its executor is a {type(executor).__name__}, which a task cannot start")
    return shape_of(graph)


def shape_of(graph: pipeline_pb2.Pipeline) -> Shape:
    """Returns the shape of a compiled graph."""
    nodes = [entry.pipeline_node for entry in graph.nodes]
    return {node.node_info.id: sorted(node.upstream_nodes) for node in nodes}


def digest(shape: Shape) -> str:
    """Returns a digest of a shape."""
    return hashlib.sha256(json.dumps(shape, sort_keys=True).encode()).hexdigest()[:16]
