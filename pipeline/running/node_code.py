"""Makes TFX's cache notice changed code.

TFX looks for a cached result by a node's inputs, its properties and the name of its executor class. The code of the
executor does not count. `add_code` therefore gives every node of a compiled graph the property `code`: a digest of the
code that the node runs. Executors ignore properties that they do not know.

Resolvers are never cached, so the property is only a record there. A resolver's answer is an input of the nodes that
follow. They run again when the answer changes, and come from the cache when it does not.
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
    """Adds a digest of its code, as it is in `tree`, to each node of a compiled `graph`.

    ImportSchemaGen also gets a digest of the schema, since TFX looks at the path alone.
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

    They are its executor, its driver, its resolver strategies, and the functions that its properties name.
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
    """A digest of the file at `path`. It is empty where there is none, which ImportSchemaGen reports."""
    if not fileio.exists(path):
        return ""
    with fileio.open(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()[:16]
