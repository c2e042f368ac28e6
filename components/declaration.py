"""The base of all components: one class declares inputs, parameters and outputs."""

from __future__ import annotations

import inspect
import types as python_types
import typing
from typing import Any, ClassVar, Generic, TypeVar

from tfx import types
from tfx.dsl.components.base import base_beam_executor, base_component, base_executor, executor_spec
from tfx.types.component_spec import ChannelParameter, ExecutionParameter
from typing_extensions import dataclass_transform

from sections import Section

A = TypeVar("A", bound=types.Artifact)


class Input(Generic[A]):
    """The type of a field that is an input channel of artifacts of type `A`."""


@dataclass_transform(kw_only_default=True)
class Component(base_component.BaseComponent):
    """A TFX component that is declared once. The spec class and the constructor follow from the declaration.

    A subclass names its executor, sets `OUTPUTS`, and declares one annotated field for each argument of the
    constructor. All arguments are keywords. A subclass with a Beam executor also inherits from `BaseBeamComponent`.

    - `Input[A]` is an input channel.
    - A `Section` is a parameter that is stored as its JSON. `ExecutionArguments.settings` reads it.
    - Any other type is a parameter of this type: `int`, `str` or a protocol buffer.
    - A field with `| None` is optional. A field with a default can be omitted.

    Attributes:
      OUTPUTS: artifact type of each output channel.
      DEFAULTS: default of each argument that has one.

    Example:
      class Counter(Component, executor=Executor):
          OUTPUTS = {"count": Count}

          examples: Input[standard_artifacts.Examples]
          settings: CounterSettings
          comment: str | None = None
    """

    OUTPUTS: ClassVar[dict[str, type[types.Artifact]]]
    DEFAULTS: ClassVar[dict[str, Any]] = {}

    def __init_subclass__(cls, executor: type[base_executor.BaseExecutor]) -> None:
        super().__init_subclass__()
        uses_beam = issubclass(executor, base_beam_executor.BaseBeamExecutor)
        kind_of_spec = executor_spec.BeamExecutorSpec if uses_beam else executor_spec.ExecutorClassSpec
        cls.EXECUTOR_SPEC = kind_of_spec(executor)
        inputs, parameters, cls.DEFAULTS = {}, {}, {}
        for name, annotation in inspect.get_annotations(cls, eval_str=True).items():
            kind, optional = _without_none(annotation)
            if name in vars(cls):
                cls.DEFAULTS[name] = vars(cls)[name]
                delattr(cls, name)  # an instance has no attribute of this name either
            if typing.get_origin(kind) is Input:
                inputs[name] = ChannelParameter(type=typing.get_args(kind)[0], optional=optional)
            else:
                stored = str if issubclass(kind, Section) else kind
                parameters[name] = ExecutionParameter(type=stored, optional=optional)
        outputs = {name: ChannelParameter(type=kind) for name, kind in cls.OUTPUTS.items()}
        spec = {"INPUTS": inputs, "PARAMETERS": parameters, "OUTPUTS": outputs}
        cls.SPEC_CLASS = type(f"{cls.__name__}Spec", (types.ComponentSpec,), spec)

    def __init__(self, **arguments: Any) -> None:
        # TFX ignores arguments that the spec does not have.
        unknown = arguments.keys() - {*self.SPEC_CLASS.INPUTS, *self.SPEC_CLASS.PARAMETERS}
        if unknown:
            raise TypeError(f"{type(self).__name__} has no argument {', '.join(sorted(unknown))}")
        omitted = {key: value for key, value in self.DEFAULTS.items() if key not in arguments and value is not None}
        stored = {key: _stored(value) for key, value in (omitted | arguments).items()}
        outputs = {key: types.Channel(type=kind) for key, kind in self.OUTPUTS.items()}
        super().__init__(self.SPEC_CLASS(**stored, **outputs))


def _stored(value: Any) -> Any:
    return value.model_dump_json() if isinstance(value, Section) else value


def _without_none(annotation: Any) -> tuple[Any, bool]:
    """Returns the type in `X | None` and whether None is allowed."""
    if typing.get_origin(annotation) in (typing.Union, python_types.UnionType):
        (kind,) = (kind for kind in typing.get_args(annotation) if kind is not type(None))
        return kind, True
    return annotation, False
