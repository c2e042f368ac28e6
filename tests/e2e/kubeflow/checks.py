"""Reads a package. Refuses packages that KFP would refuse, and features that are not emulated."""

from __future__ import annotations

import json

import yaml

from tests.e2e.kubeflow import conditions, platform_spec
from tests.e2e.kubeflow.errors import PackageError, Unsupported
from tests.e2e.kubeflow.package import (
    EXIT,
    Package,
    Spec,
    artifacts_out,
    dependencies,
    is_exit_task,
    only,
    parameters_in,
    parameters_out,
    sources,
    strings_in,
    words_of,
)
from tests.e2e.kubeflow.placeholders import (
    RUN_SCOPED,
    artifact_path_placeholder,
    check_word,
    input_placeholder,
    output_file_placeholder,
    refuse_expansion,
    refuse_placeholders,
    resolve_constant,
)
from tests.e2e.kubeflow.retries import RetryPolicy
from tests.e2e.kubeflow.values import TYPES, is_of_type, value_of

_STRATEGIES = (None, "TRIGGER_STRATEGY_UNSPECIFIED", "ALL_UPSTREAM_TASKS_SUCCEEDED", EXIT)
_AMOUNTS = ("cpuLimit", "cpuRequest", "memoryLimit", "memoryRequest")
_RESOURCES = ("accelerator", *_AMOUNTS, *(f"resource{name[0].upper()}{name[1:]}" for name in _AMOUNTS))


def read_package(text: str, release: str) -> Package:
    """Reads the package in `text`, two documents of YAML: the pipeline and the platform spec.

    Args:
      release: the release of KFP whose fields count, "2.15" or "2.16".

    Raises:
      PackageError: the package is invalid, or has features that are not emulated.
    """
    spec, *more = [document for document in yaml.safe_load_all(text) if document is not None]
    keys = ["components", "deploymentSpec", "pipelineInfo", "root", "schemaVersion", "sdkVersion"]
    only(spec, keys, "package")
    if spec.get("schemaVersion") != "2.1.0":
        # apiserver/template/v2_template.go (NewV2SpecTemplate).
        raise PackageError(f"schemaVersion: KFP takes 2.1.0 only (got {spec.get('schemaVersion')!r})")
    only(spec["pipelineInfo"], ["name"], "pipelineInfo")
    executors = only(spec["deploymentSpec"], ["executors"], "deploymentSpec")["executors"]
    containers = {label: only(found, ["container"], label)["container"] for label, found in executors.items()}
    package = Package(spec["pipelineInfo"]["name"], spec["root"], spec["components"], containers)
    for label, container in containers.items():
        _check_container(container, label)
    for name, component in {"root": spec["root"], **spec["components"]}.items():
        _check_component(package, name, component)
    _check_shared_containers(package)
    _check_release(package, release)
    if len(more) > 1:
        raise PackageError("more than two documents")
    for document in more:
        platform_spec.check(document, containers, release)
    return package


def _check_release(package: Package, release: str) -> None:
    """Refuses fields that only later releases have: the API server reads a package with protojson.Unmarshal."""
    for name, component in {"root": package.root, **package.components}.items():
        for key, definition in parameters_in(component).items():
            if release == "2.15" and "literals" in definition:
                raise Unsupported(f"{name}: {key}", f"literals with KFP {release}")


def _check_container(container: Spec, label: str) -> None:
    only(container, ["image", "command", "args", "env", "resources"], label)
    only(container.get("resources", {}), _RESOURCES, f"{label}: resources")
    for place, text in strings_in(container.get("resources", {}), "resources"):
        refuse_placeholders(text, label, place, "resources from parameters are not emulated")
    refuse_placeholders(container["image"], label, "image", "images from parameters are not emulated")
    if not container.get("command"):
        raise Unsupported(label, "the entrypoint of an image")
    # A bug of component/launcher_v2.go (compileCmdAndArgs), 2.15.0 and 2.16.1: it does not fill in inputs and outputs
    # in the first word.
    refuse_placeholders(container["command"][0], label, "command[0]", "the launcher fills in nothing in the first word")
    for variable in container.get("env", []):
        place = f"env.{variable['name']}"
        # driver/driver.go (initPodSpecPatch) copies the value.
        refuse_placeholders(variable["value"], label, place, "the driver copies it as it is")
        refuse_expansion(variable["value"], label, place)


def _check_component(package: Package, name: str, component: Spec) -> None:
    only(component, ["inputDefinitions", "outputDefinitions", "executorLabel", "dag"], name)
    only(component.get("inputDefinitions", {}), ["parameters"], f"{name}: inputDefinitions")
    only(component.get("outputDefinitions", {}), ["parameters", "artifacts"], f"{name}: outputDefinitions")
    for definitions in (parameters_in(component), parameters_out(component)):
        for key, definition in definitions.items():
            _check_definition(definition, f"{name}: {key}")
    for key, definition in artifacts_out(component).items():
        only(definition, ["artifactType", "description"], f"{name}: {key}")
    if "dag" in component:
        _check_dag(package, name, component)
    else:
        _check_words(component, package.container(component), name)


def _check_definition(definition: Spec, place: str) -> None:
    only(definition, ["parameterType", "defaultValue", "isOptional", "description", "literals"], place)
    kind = definition.get("parameterType")
    if kind not in TYPES:
        raise Unsupported(place, f"type {kind}")
    default = value_of(definition.get("defaultValue"))
    if default is not None and not is_of_type(default, kind):
        raise PackageError(f"{place}: the default {default!r} is no {kind}")
    if default is not None and not definition.get("isOptional"):
        # driver/resolve.go (handleParamTypeValidationAndConversion) then replaces a missing STRING by an empty text.
        raise Unsupported(place, "a default of a parameter that is not optional")
    check_value(default, place, "defaultValue")


def check_value(value: object, task: str, place: str) -> None:
    """Refuses the value of a parameter if KFP, Argo or Kubernetes might replace a part of it."""
    for where, text in strings_in(value, place):
        # The launcher replaces placeholders one by one, in the random order of a Go map.
        refuse_placeholders(text, task, where, "it is a value; whether it is replaced is not determined")
        refuse_expansion(text, task, where)


def _check_words(component: Spec, container: Spec, name: str) -> None:
    """Checks that the launcher has a value for each placeholder in command and args."""
    known = {input_placeholder(key) for key in parameters_in(component)}
    known |= {output_file_placeholder(key) for key in parameters_out(component)}
    known |= {artifact_path_placeholder(key) for key in artifacts_out(component)}
    for place, word in words_of(container):
        if not isinstance(word, str):
            raise PackageError(f"{name}: {place}: {word!r} is no string")
        check_word(word, known, name, place)
        refuse_expansion(word, name, place)


def _check_dag(package: Package, name: str, component: Spec) -> None:
    dag = only(component["dag"], ["tasks", "outputs"], f"{name}: dag")
    outputs = only(dag.get("outputs", {}), ["parameters"], f"{name}: dag.outputs").get("parameters", {})
    for key, selector in outputs.items():
        place = f"{name}: dag.outputs.parameters.{key}"
        only(selector, ["valueFromParameter"], place)
        if selector["valueFromParameter"]["producerSubtask"] not in dag["tasks"]:
            raise PackageError(f"{place}: there is no such task")
    followed: set[str] = set()
    for key, task in dag["tasks"].items():
        _check_task(package, key, task, component)
        for other in dependencies(task):
            if other not in dag["tasks"]:
                # argocompiler/dag.go (addImplicitDependencies). Argo refuses it too.
                raise PackageError(f"{key}: waits for {other}, which is not in its DAG")
            if is_exit_task(dag["tasks"][other]):
                raise PackageError(f"{key}: waits for {other}; an exit task is a hook, for which nothing can wait")
        if is_exit_task(task):
            if len(dependencies(task)) != 1 or followed & {*dependencies(task)}:
                # argocompiler/dag.go (DAG): a hook for each of several tasks, and one hook for a task.
                raise Unsupported(key, "an exit task of several tasks, or several of one task")
            followed.update(dependencies(task))


def _check_task(package: Package, key: str, task: Spec, parent: Spec) -> None:
    keys = ["taskInfo", "inputs", "dependentTasks", "cachingOptions", "componentRef", "triggerPolicy", "retryPolicy"]
    only(task, keys, key)
    component = package.component(task)
    if only(task.get("cachingOptions", {}), ["enableCache"], f"{key}: cachingOptions").get("enableCache"):
        raise Unsupported(key, "the cache of KFP")
    if is_exit_task(task) and any("taskOutputParameter" in source for source in sources(task).values()):
        raise Unsupported(key, "an exit task with the outputs of others")
    if "retryPolicy" in task and "dag" in component:
        raise Unsupported(key, "a retryPolicy of a DAG")
    RetryPolicy.read(task.get("retryPolicy"), key)
    only(task.get("inputs", {}), ["parameters"], f"{key}: inputs")
    for name, source in sources(task).items():
        if name not in parameters_in(component):
            raise PackageError(f"{key}: inputs.parameters.{name}: its component has no such parameter")
        _check_source(source, key, name, parent)
    policy = only(task.get("triggerPolicy", {}), ["condition", "strategy"], f"{key}: triggerPolicy")
    if policy.get("strategy") not in _STRATEGIES:
        raise Unsupported(f"{key}: triggerPolicy", policy["strategy"])
    if policy.get("condition"):
        conditions.check(policy["condition"], parameters_in(component), key)


def _check_source(source: Spec, key: str, name: str, parent: Spec) -> None:
    place = f"{key}: inputs.parameters.{name}"
    only(source, ["componentInputParameter", "taskOutputParameter", "runtimeValue"], place)
    if len(source) != 1:
        raise PackageError(f"{place}: must have one source")
    wanted = source.get("componentInputParameter")
    if wanted is not None and wanted not in parameters_in(parent):
        raise PackageError(f"{place}: the DAG has no parameter {wanted}")
    if "runtimeValue" in source:
        constant = value_of(only(source["runtimeValue"], ["constant"], place)["constant"])
        if isinstance(constant, str):
            constant = resolve_constant(constant, dict.fromkeys(RUN_SCOPED, ""), key, name)
        check_value(constant, key, f"inputs.parameters.{name}")


def _check_shared_containers(package: Package) -> None:
    """argocompiler/argo.go (hashComponentContainer, saveComponentSpec): equal containers share the first one's spec."""
    seen: dict[str, tuple[str, Spec]] = {}
    for name, component in package.components.items():
        if "dag" in component:
            continue
        content = json.dumps(package.container(component), sort_keys=True)
        definitions = {key: component.get(key) for key in ("inputDefinitions", "outputDefinitions")}
        first, others = seen.setdefault(content, (name, definitions))
        if others != definitions:
            raise PackageError(f"{name}: its container is that of {first}, so KFP would give it the spec of {first}")
