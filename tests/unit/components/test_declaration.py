"""The base of components: what a declaration becomes, and which calls it refuses."""

from __future__ import annotations

from typing import Any

import pydantic
import pytest
from tfx import types
from tfx.dsl.components.base import base_beam_component, base_beam_executor, executor_spec
from tfx.proto import example_gen_pb2
from tfx.types import standard_artifacts

from components.declaration import Component, Input
from components.execution import ExecutionArguments, ExecutorBase
from sections import PositiveInt, Section

pytestmark = pytest.mark.tensorflow


class Settings(Section):
    rows: PositiveInt = 3


class Executor(ExecutorBase):
    def execute(self, execution: ExecutionArguments) -> None:
        rows = execution.settings(Settings).rows
        note = execution.optional_input("note")
        execution.output("model").set_string_custom_property("seen", f"{rows} {note.uri if note else None}")


class BeamExecutor(ExecutorBase, base_beam_executor.BaseBeamExecutor):
    def execute(self, execution: ExecutionArguments) -> None:
        execution.output("model").uri = execution.input("examples").uri


class Declared(Component, executor=Executor):
    OUTPUTS = {"model": standard_artifacts.Model}

    examples: Input[standard_artifacts.Examples]
    note: Input[standard_artifacts.String] | None
    settings: Settings
    config: example_gen_pb2.Input
    reason: str | None = None
    keep: int = 5
    more: Settings = Settings(rows=9)


class OnBeam(Component, base_beam_component.BaseBeamComponent, executor=BeamExecutor):
    OUTPUTS = {"model": standard_artifacts.Model}

    examples: Input[standard_artifacts.Examples]


def channel(kind: type[types.Artifact]) -> types.Channel:
    return types.Channel(type=kind)


def arguments(**changes: Any) -> dict[str, Any]:
    examples, note = channel(standard_artifacts.Examples), channel(standard_artifacts.String)
    return {"examples": examples, "note": note, "settings": Settings(), "config": example_gen_pb2.Input(), **changes}


def test_fields_become_spec() -> None:
    spec = Declared.SPEC_CLASS
    assert (spec.__name__, list(spec.INPUTS), list(spec.OUTPUTS)) == ("DeclaredSpec", ["examples", "note"], ["model"])
    optional = {key: each.optional for key, each in {**spec.INPUTS, **spec.PARAMETERS}.items()}
    assert {key for key, may_be_absent in optional.items() if may_be_absent} == {"note", "reason"}
    assert [each.type for each in spec.PARAMETERS.values()] == [str, example_gen_pb2.Input, str, int, str]
    assert spec.INPUTS["note"].type is standard_artifacts.String


def test_sections_and_messages_are_stored_as_json() -> None:
    properties = Declared(**arguments()).exec_properties
    assert properties == {"settings": '{"rows":3}', "config": "{}", "keep": 5, "more": '{"rows":9}'}


def test_arguments_replace_defaults() -> None:
    properties = Declared(**arguments(keep=2, more=Settings(rows=1))).exec_properties
    assert (properties["keep"], properties["more"]) == (2, '{"rows":1}')
    assert not hasattr(Declared, "keep")


def test_executor_decides_kind_of_spec() -> None:
    assert type(Declared.EXECUTOR_SPEC) is executor_spec.ExecutorClassSpec
    assert type(OnBeam.EXECUTOR_SPEC) is executor_spec.BeamExecutorSpec
    assert OnBeam.EXECUTOR_SPEC.class_path == f"{__name__}.BeamExecutor"
    assert set(OnBeam(examples=channel(standard_artifacts.Examples)).outputs) == {"model"}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"examples": None}, "examples"),
        ({"examples": channel(standard_artifacts.Model)}, "examples"),
        ({"settings": 7}, "settings"),
        ({"more": 1}, "more"),
    ],
    ids=["no input", "other artifact", "other parameter", "unknown"],
)
def test_wrong_arguments_are_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises((TypeError, ValueError), match=words):
        Declared(**arguments(**changes))


def test_missing_argument_is_refused() -> None:
    given = arguments()
    del given["settings"]
    with pytest.raises(ValueError, match="Missing argument 'settings'"):
        Declared(**given)


@pytest.mark.parametrize("inputs", [{}, {"note": []}], ids=["absent", "empty"])
def test_optional_input_can_be_absent(inputs: dict[str, list[types.Artifact]]) -> None:
    model = standard_artifacts.Model()
    Executor().Do(inputs, {"model": [model]}, {"settings": '{"rows": 4}'})
    assert model.get_string_custom_property("seen") == "4 None"


def test_execution_validates_settings() -> None:
    with pytest.raises(pydantic.ValidationError, match="rows"):
        Executor().Do({}, {"model": [standard_artifacts.Model()]}, {"settings": '{"rows": -1}'})


def test_beam_executor_runs_execute() -> None:
    examples, model = standard_artifacts.Examples(), standard_artifacts.Model()
    examples.uri = "/examples"
    BeamExecutor().Do({"examples": [examples]}, {"model": [model]}, {})
    assert model.uri == "/examples"
