"""Emulates KFP's driver: resolves the input parameters of a task and evaluates its condition."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from tests.e2e.kubeflow import conditions
from tests.e2e.kubeflow.checks import check_value
from tests.e2e.kubeflow.errors import DriverError, PackageError, RunParameterError
from tests.e2e.kubeflow.package import Spec, parameters_in, sources
from tests.e2e.kubeflow.placeholders import resolve_constant
from tests.e2e.kubeflow.values import Value, is_of_type, kind_name, text_of, value_of

Values = Mapping[str, Value]


@dataclasses.dataclass(frozen=True)
class Task:
    """A task in its DAG.

    Attributes:
      key: its key in the DAG. The driver calls it the name of the task.
      path: the keys of the DAGs around it and its own.
      spec, component: its parts of the package.
      dag_id: the id of the execution of its DAG in KFP's own ML Metadata.
    """

    key: str
    path: str
    spec: Spec
    component: Spec
    dag_id: int


@dataclasses.dataclass(frozen=True)
class Run:
    """The values of a run that the driver knows.

    Attributes:
      run_id: the UUID.
      name: the display name.
      workflow: the name of Argo's workflow.
    """

    run_id: str
    name: str
    workflow: str

    def placeholders(self, task: Task) -> dict[str, str]:
        """driver/resolve.go (resolveInputParameter): the uuid of a task is the id of its DAG's execution."""
        return {
            "{{$.pipeline_job_name}}": self.name,
            "{{$.pipeline_job_resource_name}}": self.workflow,
            "{{$.pipeline_job_uuid}}": self.run_id,
            "{{$.pipeline_task_name}}": task.key,
            "{{$.pipeline_task_uuid}}": str(task.dag_id),
        }


def root_inputs(root: Spec, given: Mapping[str, object]) -> dict[str, Value]:
    """Returns the inputs of the root DAG.

    apiserver/template/v2_template.go (validatePipelineJobInputs) checks the parameters of a run. argocompiler/argo.go
    (Compile) adds defaults, and null for an optional parameter without default. 2.15.0 does not know literals.

    Raises:
      RunParameterError: the API server refuses the parameters.
      NotSubstituted, Unsupported: KFP or Kubernetes might replace a part of a value.
    """
    definitions = parameters_in(root)
    if unknown := given.keys() - definitions.keys():
        raise RunParameterError(f"parameter(s) provided are not required by pipeline: {', '.join(sorted(unknown))}")
    values: dict[str, Value] = {}
    for name, definition in definitions.items():
        if name not in given:
            if not definition.get("isOptional"):
                raise RunParameterError(f"parameter {name} is not optional, yet has neither default value nor value")
            values[name] = value_of(definition.get("defaultValue"))
            continue
        value = value_of(given[name])
        if not is_of_type(value, definition["parameterType"]):
            raise RunParameterError(f"input parameter {name} requires type {definition['parameterType']}")
        if (refused := _outside_literals(value, definition, name)) is not None:
            raise RunParameterError(refused)
        check_value(value, "run", f"parameters.{name}")
        values[name] = value
    return values


def resolve_inputs(task: Task, parent: Values, outputs: Mapping[str, Values], run: Run) -> dict[str, Value]:
    """Returns the input parameters of a task.

    driver/resolve.go (resolveInputs), equal in 2.15.0 and 2.16.1 except for literals, which 2.15.0 does not know.

    Args:
      parent: the inputs of its DAG.
      outputs: the output parameters of the succeeded tasks of its DAG.

    Raises:
      DriverError: the driver fails, and therefore the task.
    """
    definitions = parameters_in(task.component)
    values: dict[str, Value] = {}
    if "dag" in task.component:
        # KFP replaces a missing optional parameter of a DAG by its default, or null.
        for name, definition in definitions.items():
            if name not in sources(task.spec) and definition.get("isOptional"):
                values[name] = value_of(definition.get("defaultValue"))
    from_driver = set(values)
    for name, source in sources(task.spec).items():
        value = _resolve(source, name, task, parent, outputs, run)
        if value is None:
            if not definitions[name].get("isOptional"):
                raise DriverError(f"the resolved input parameter is null: {source['componentInputParameter']}")
            # The launcher uses the default.
            continue
        if (refused := _outside_literals(value, definitions[name], name)) is not None:
            raise DriverError(f'validating parameter "{name}": {refused}')
        values[name] = value
    for name, definition in definitions.items():
        if name not in values:
            if not definition.get("isOptional"):
                raise DriverError(f'neither value nor default value provided for non-optional parameter "{name}"')
        elif not (values[name] is None and name in from_driver):
            values[name] = _converted(values[name], definition["parameterType"], name)
    return values


def will_trigger(task: Task, inputs: Values) -> bool:
    """Returns whether the condition of a task holds or is missing (driver/dag.go, driver/container.go)."""
    condition = task.spec.get("triggerPolicy", {}).get("condition")
    return not condition or conditions.holds(condition, inputs, task.path)


def dag_outputs(component: Spec, outputs: Mapping[str, Values]) -> dict[str, Value]:
    """Returns the output parameters of a DAG, from its tasks: driver/resolve.go (resolveUpstreamParameters)."""
    found: dict[str, Value] = {}
    for name, selector in component["dag"].get("outputs", {}).get("parameters", {}).items():
        source = selector["valueFromParameter"]
        values = outputs.get(source["producerSubtask"], {})
        if source["outputParameterKey"] in values:
            found[name] = values[source["outputParameterKey"]]
    return found


def _resolve(source: Spec, name: str, task: Task, parent: Values, outputs: Mapping[str, Values], run: Run) -> Value:
    if "componentInputParameter" in source:
        wanted = source["componentInputParameter"]
        if wanted not in parent:
            raise DriverError(f"parent DAG does not have input parameter {wanted}")
        return parent[wanted]
    if "taskOutputParameter" in source:
        producer, output = (
            source["taskOutputParameter"]["producerTask"],
            source["taskOutputParameter"]["outputParameterKey"],
        )
        if output not in outputs.get(producer, {}):
            # KFP would continue without a value, which becomes an empty text for a STRING.
            raise PackageError(f"{task.path}: {name}: {producer} has no output parameter {output}")
        value = outputs[producer][output]
        check_value(value, task.path, f"inputs.parameters.{name}")
        return value
    constant = value_of(source["runtimeValue"]["constant"])
    if isinstance(constant, str):
        return resolve_constant(constant, run.placeholders(task), task.path, name)
    return constant


def _converted(value: Value, kind: str, name: str) -> Value:
    """handleParamTypeValidationAndConversion: a STRING accepts all types, as text. Others accept only their type."""
    if kind == "STRING":
        return text_of(value)
    if value is None:
        raise DriverError(f'got null for input parameter "{name}"')
    if not is_of_type(value, kind):
        raise DriverError(f'input parameter "{name}" type mismatch: expect {kind}, got {kind_name(value)}')
    return value


def _outside_literals(value: Value, definition: Spec, name: str) -> str | None:
    """common/util/validate_literal.go (ValidateLiteralParameter, 2.16.1)."""
    literals = [value_of(literal) for literal in definition.get("literals", [])]
    if not literals or any(type(value) is type(literal) and value == literal for literal in literals):
        return None
    return f'input parameter "{name}" value {value!r} does not match any of the allowed literal values: {literals!r}'
