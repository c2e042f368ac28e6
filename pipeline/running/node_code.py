"""Makes TFX's cache consider changed code.

TFX finds a cached result by the inputs of a node, its properties and the class name of its executor. It ignores the
code of the executor. `add_code` therefore adds the property `code` to every node of a compiled graph, a digest of the
code that the node runs. Executors ignore unknown properties.

Resolvers are never cached, so for them the property is only a record. The result of a resolver is an input of later
nodes, which run again only if it changes.
"""

from __future__ import annotations

import hashlib

from google.protobuf import any_pb2
from tfx.dsl.io import fileio
from tfx.proto.orchestration import executable_spec_pb2, pipeline_pb2
from tfx.types import standard_component_specs

from pipeline.running.code_digest import SourceTree

CODE, SCHEMA_CONTENT = "code", "schema_content"


def add_code(graph: pipeline_pb2.Pipeline, tree: SourceTree) -> None:
    """Adds a digest of its code to each node of a graph.

    ImportSchemaGen also gets a digest of the schema, because TFX considers only its path.

    Args:
      graph: a compiled graph. It is changed in place.
      tree: the source files to digest.
    """
    for entry in graph.nodes:
        parameters = entry.pipeline_node.parameters.parameters
        code = tree.digest(code_names(graph, entry.pipeline_node))
        parameters[CODE].field_value.string_value = code
        if standard_component_specs.SCHEMA_FILE_KEY in parameters:
            schema = parameters[standard_component_specs.SCHEMA_FILE_KEY].field_value.string_value
            parameters[SCHEMA_CONTENT].field_value.string_value = _digest(schema)


def code_names(graph: pipeline_pb2.Pipeline, node: pipeline_pb2.PipelineNode) -> list[str]:
    """Returns the dotted names of the classes and functions that `node` runs.

    These are its executor, its driver, its resolver strategies, and the functions in its properties.
    """
    deployment = pipeline_pb2.IntermediateDeploymentConfig()
    graph.deployment_config.Unpack(deployment)
    specs = (deployment.executor_specs, deployment.custom_driver_specs)
    classes = [_class_path(spec[node.node_info.id]) for spec in specs if node.node_info.id in spec]
    steps = [step for steps in node.inputs.input_graphs.values() for step in steps.nodes.values()]
    strategies = [step.op_node.op_type for step in steps if step.HasField("op_node")]
    parameters = node.parameters.parameters.items()
    functions = [value.field_value.string_value for key, value in parameters if key.endswith("_fn")]
    return [*classes, *strategies, *functions]


def _class_path(spec: any_pb2.Any) -> str:
    beam = executable_spec_pb2.BeamExecutableSpec()
    if spec.Unpack(beam):
        return str(beam.python_executor_spec.class_path)
    python = executable_spec_pb2.PythonClassExecutableSpec()
    spec.Unpack(python)
    return str(python.class_path)


def _digest(path: str) -> str:
    """Returns a digest of a file, or an empty string if it does not exist. ImportSchemaGen reports missing files."""
    if not fileio.exists(path):
        return ""
    with fileio.open(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()[:16]
