"""Refused packages: those that KFP would misinterpret, and those that the emulator does not support."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.e2e.kubeflow.errors import NotSubstituted, PackageError, Unsupported
from tests.e2e.kubeflow.interpreter import Interpreter
from tests.unit.e2e_kubeflow.planted_packages import changed, exit_handler_package, one_task_package, with_platform

Change = Callable[[dict[str, Any]], None]


def container(spec: dict[str, Any]) -> dict[str, Any]:
    return spec["deploymentSpec"]["executors"]["exec-only"]["container"]


def only(spec: dict[str, Any]) -> dict[str, Any]:
    return spec["root"]["dag"]["tasks"]["only"]


def set_args(*words: str) -> Change:
    return lambda spec: container(spec).update(args=list(words))


def refusal(kind: type[PackageError], change: Change, inputs: dict[str, tuple[str, Any]] | None = None) -> PackageError:
    package = changed(one_task_package("print('runs')", inputs), change)
    with pytest.raises(kind) as raised:
        Interpreter(package, Path("/nowhere"))
    return raised.value


@pytest.mark.parametrize(
    "text",
    [
        "{{$.pipeline_job_uuid}}",
        "{{$.pipeline_job_name}}",
        "{{$.pipeline_task_uuid}}",
        "{{$.inputs.parameters['other']}}",
        "{{$.inputs.parameters['value'].uri}}",
        "{{$.outputs.artifacts['summary'].path}}",
        "{{workflow.name}}",
        "{{",
    ],
)
def test_placeholder_that_stays_text_in_args(text: str) -> None:
    error = refusal(NotSubstituted, set_args("first", f"--id={text}"), {"value": ("STRING", "x")})
    assert isinstance(error, NotSubstituted)
    assert (error.task, error.place, error.text) == ("comp-only", "args[1]", text)


def test_placeholder_in_first_word_is_refused() -> None:
    def first(spec: dict[str, Any]) -> None:
        container(spec).update(command=["{{$.inputs.parameters['value']}}"])

    assert "command[0]" in str(refusal(NotSubstituted, first, {"value": ("STRING", "python")}))


@pytest.mark.parametrize(
    "text",
    [
        "run-{{$.pipeline_job_uuid}}",
        "{{$.pipeline_job_uuid}} ",
        "{{$.pipeline_job_create_time_utc}}",
        "{{$.pipeline_job_schedule_time_utc}}",
        "{{$.inputs.parameters['value']}}",
    ],
)
def test_constant_that_the_driver_leaves_as_text(text: str) -> None:
    package = one_task_package("print('runs')", {"value": ("STRING", text)})
    with pytest.raises(NotSubstituted, match=r"only: inputs\.parameters\.value"):
        Interpreter(package, Path("/nowhere"))


def test_driver_replaces_whole_constants(tmp_path: Path) -> None:
    names = ["job_name", "job_resource_name", "job_uuid", "task_name", "task_uuid"]
    package = one_task_package(
        "import sys; print(sys.argv[1:])",
        {name: ("STRING", f"{{{{$.pipeline_{name}}}}}") for name in names},
    )
    identity = str(uuid.uuid4())
    output = Interpreter(package, tmp_path).run(identity)["Only"].log
    values = dict(zip(names, yaml.safe_load(output), strict=True))
    assert values["job_uuid"] == identity and values["task_name"] == "only"
    assert "$" not in output


@pytest.mark.parametrize(
    "change",
    [
        lambda spec: container(spec).update(env=[{"name": "A", "value": "{{$.pipeline_job_uuid}}"}]),
        lambda spec: container(spec).update(image="{{$.inputs.parameters['value']}}"),
        lambda spec: container(spec).update(resources={"resourceCpuLimit": "{{$.inputs.parameters['value']}}"}),
        set_args('{"Concat": ["a", "b"]}'),
        set_args('{"IfPresent": {"InputName": "value", "Then": "a"}}'),
    ],
)
def test_placeholder_at_another_place(change: Change) -> None:
    refusal(NotSubstituted, change, {"value": ("STRING", "x")})


def test_optional_input_without_a_value_stays_text(tmp_path: Path) -> None:
    def leave_out(spec: dict[str, Any]) -> None:
        spec["components"]["comp-only"]["inputDefinitions"]["parameters"]["value"]["isOptional"] = True
        only(spec)["inputs"]["parameters"].clear()

    package = changed(one_task_package("print('runs')", {"value": ("STRING", "x")}), leave_out)
    with pytest.raises(NotSubstituted, match="only: args"):
        Interpreter(package, tmp_path).run(str(uuid.uuid4()))


@pytest.mark.parametrize(("value", "kind"), [("a{{b", NotSubstituted), ("a$$b", Unsupported), ("$(HOME)", Unsupported)])
def test_value_with_placeholder_is_refused(tmp_path: Path, value: str, kind: type[PackageError]) -> None:
    interpreter = Interpreter(exit_handler_package(), tmp_path)
    with pytest.raises(kind, match=r"run: parameters\.data_verdict"):
        interpreter.run(str(uuid.uuid4()), {"data_verdict": value})


def test_output_with_placeholder_is_refused(tmp_path: Path) -> None:
    text = "{" + "{$.pipeline_job_uuid}}"

    def pass_on(spec: dict[str, Any]) -> None:
        spec["components"]["comp-next"] = {
            "executorLabel": "exec-next",
            "inputDefinitions": {"parameters": {"text": {"parameterType": "STRING"}}},
        }
        spec["deploymentSpec"]["executors"]["exec-next"] = {"container": {"image": "i", "command": ["true"]}}
        source = {"taskOutputParameter": {"producerTask": "only", "outputParameterKey": "text"}}
        spec["root"]["dag"]["tasks"]["next"] = {
            "componentRef": {"name": "comp-next"},
            "inputs": {"parameters": {"text": source}},
        }

    script = f"import pathlib, sys; pathlib.Path(sys.argv[1]).write_text('{{' + {text[1:]!r})"
    package = changed(one_task_package(script, outputs={"text": "STRING"}), pass_on)
    with pytest.raises(NotSubstituted, match=r"next: inputs\.parameters\.text"):
        Interpreter(package, tmp_path).run(str(uuid.uuid4()))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (set_args("$(HOME)"), "Kubernetes may expand"),
        (set_args("a$$b"), "Kubernetes may expand"),
        (lambda spec: container(spec).pop("command"), "entrypoint"),
        (lambda spec: container(spec).update(lifecycle={}), "lifecycle"),
        (lambda spec: only(spec).update(cachingOptions={"enableCache": True}), "cache"),
        (lambda spec: only(spec).update(parameterIterator={}), "parameterIterator"),
        (lambda spec: only(spec)["inputs"].update(artifacts={}), "artifacts"),
        (lambda spec: only(spec).update(retryPolicy={"maxRetryCount": 1, "backoffFactor": 1.5}), "whole number"),
        (lambda spec: only(spec).update(retryPolicy={"maxRetryCount": 1, "backoffDuration": "1m"}), "1m"),
        (lambda spec: only(spec).update(triggerPolicy={"condition": "true"}), "condition"),
        (lambda spec: only(spec).update(triggerPolicy={"strategy": "SOON"}), "SOON"),
        (lambda spec: only(spec)["inputs"]["parameters"].update(value={"taskFinalStatus": {}}), "taskFinalStatus"),
        (lambda spec: spec["deploymentSpec"]["executors"].update(x={"importer": {}}), "importer"),
        (lambda spec: spec["components"]["comp-only"].update(taskConfigPassthroughs=[]), "taskConfigPassthroughs"),
        (lambda spec: spec.update(defaultPipelineRoot="s3://bucket"), "defaultPipelineRoot"),
    ],
)
def test_unknown_parts_are_refused(change: Change, reason: str) -> None:
    assert reason in str(refusal(Unsupported, change, {"value": ("STRING", "x")}))


@pytest.mark.parametrize(
    "condition",
    [
        "inputs.parameter_values['value'] == 3",
        "int(inputs.parameter_values['value']) > 3",
        "!(inputs.parameter_values['value'] == 'a')",
        "inputs.parameter_values['value'] == 'a' && inputs.parameter_values['value'] != 'b'",
        "inputs.parameter_values['other'] == 'a'",
    ],
)
def test_other_conditions_are_refused(condition: str) -> None:
    refusal(
        Unsupported,
        lambda spec: only(spec).update(triggerPolicy={"condition": condition}),
        {"value": ("STRING", "a")},
    )


@pytest.mark.parametrize(("sign", "state"), [("==", "SUCCEEDED"), ("!=", "SKIPPED")])
def test_condition_on_a_container(tmp_path: Path, sign: str, state: str) -> None:
    policy = {"condition": f"inputs.parameter_values['value'] {sign} 'a'"}
    package = one_task_package("print('runs')", {"value": ("STRING", "a")}, triggerPolicy=policy)
    result = Interpreter(package, tmp_path).run(str(uuid.uuid4()))
    assert result["Only"].state == state and result.state == "SUCCEEDED"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda spec: spec.update(schemaVersion="2.0.0"), "schemaVersion"),
        (lambda spec: only(spec).update(dependentTasks=["nobody"]), "nobody"),
        (lambda spec: only(spec)["inputs"]["parameters"].update(more={"runtimeValue": {"constant": 1}}), "more"),
        (lambda spec: only(spec)["inputs"]["parameters"].update(value={"componentInputParameter": "p"}), "p"),
    ],
)
def test_wrong_packages(change: Change, reason: str) -> None:
    assert reason in str(refusal(PackageError, change, {"value": ("STRING", "x")}))


def test_nothing_waits_for_an_exit_task() -> None:
    def wait(spec: dict[str, Any]) -> None:
        spec["root"]["dag"]["tasks"]["exit-handler-1"]["dependentTasks"] = ["report"]

    with pytest.raises(PackageError, match="exit task"):
        Interpreter(changed(exit_handler_package(), wait), Path("/nowhere"))


def test_circular_tasks_are_refused(tmp_path: Path) -> None:
    package = changed(one_task_package(""), lambda spec: only(spec).update(dependentTasks=["only"]))
    with pytest.raises(PackageError, match="each other"):
        Interpreter(package, tmp_path).run(str(uuid.uuid4()))


def test_equal_containers_with_other_specs() -> None:
    def twin(spec: dict[str, Any]) -> None:
        spec["components"]["comp-twin"] = {"executorLabel": "exec-twin"}
        spec["deploymentSpec"]["executors"]["exec-twin"] = {"container": dict(container(spec))}

    assert "comp-only" in str(refusal(PackageError, twin))


def test_platform_keys_depend_on_the_release(tmp_path: Path) -> None:
    package = with_platform(one_task_package("print('runs')"), {"securityContext": {"runAsNonRoot": True}})
    with pytest.raises(Unsupported, match=r"securityContext with KFP 2\.15"):
        Interpreter(package, tmp_path)
    assert Interpreter(package, tmp_path, release="2.16").run(str(uuid.uuid4())).state == "SUCCEEDED"


@pytest.mark.parametrize(
    "config",
    [
        {"hostNetwork": True},
        {"pvcMount": [{"mountPath": "/x", "claim": "y"}]},
        {"imagePullPolicy": "Sometimes"},
        {"nodeSelector": {"labels": {"pool": "{{$.pipeline_job_uuid}}"}}},
        {"secretAsEnv": [{"secretNameParameter": {"componentInputParameter": "secret"}}]},
    ],
)
def test_platform_spec_with_other_keys(config: dict[str, Any]) -> None:
    with pytest.raises(PackageError):
        Interpreter(with_platform(one_task_package(""), config), Path("/nowhere"))


def test_platform_spec_of_no_executor() -> None:
    package = with_platform(one_task_package(""), {}).replace("exec-only: {}", "exec-other: {}")
    with pytest.raises(PackageError, match="exec-other"):
        Interpreter(package, Path("/nowhere"))
