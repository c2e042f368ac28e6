"""The base of all executors: artifacts and settings of one execution, by name."""

from __future__ import annotations

import abc
import dataclasses
from typing import Any, TypeVar

from tfx import types
from tfx.dsl.components.base import base_executor
from tfx.types import artifact_utils

from sections import Section

S = TypeVar("S", bound=Section)


@dataclasses.dataclass(frozen=True)
class ExecutionArguments:
    """The arguments of an executor.

    Attributes:
      inputs: artifacts of each input channel. An optional channel can be absent or empty.
      outputs: artifacts of each output channel.
      parameters: values of the parameters. A message or a section is stored as JSON.
    """

    inputs: dict[str, list[types.Artifact]]
    outputs: dict[str, list[types.Artifact]]
    parameters: dict[str, Any]

    def input(self, key: str) -> types.Artifact:
        """Returns the only artifact of a required input channel."""
        return artifact_utils.get_single_instance(self.inputs[key])

    def optional_input(self, key: str) -> types.Artifact | None:
        """Returns the only artifact of an optional input channel, or None if there is none."""
        return self.input(key) if self.inputs.get(key) else None

    def output(self, key: str) -> types.Artifact:
        """Returns the only artifact of an output channel."""
        return artifact_utils.get_single_instance(self.outputs[key])

    def settings(self, section: type[S]) -> S:
        """Returns the parameter `settings`, validated again as a `section`.

        Raises:
          pydantic.ValidationError: the parameter is not the JSON of a `section`.
        """
        return section.model_validate_json(self.parameters["settings"])


class ExecutorBase(base_executor.BaseExecutor):
    """A TFX executor that implements `execute` in place of `Do`.

    It also goes with other executor classes of TFX: `class Executor(ExecutorBase, BaseBeamExecutor)`.
    """

    def Do(  # noqa: N802 - TFX's name
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Runs `execute`. TFX calls it."""
        self.execute(ExecutionArguments(input_dict, output_dict, exec_properties))

    @abc.abstractmethod
    def execute(self, execution: ExecutionArguments) -> None:
        """Writes the outputs of one execution."""
