"""ServingCanary: nothing is published that was not served first."""

from __future__ import annotations

from tfx import types
from tfx.dsl.components.base import base_component, executor_spec
from tfx.types import component_spec, standard_artifacts

from components.serving_canary.executor import Executor
from components.serving_canary.settings import CanarySettings


class ServingCanarySpec(types.ComponentSpec):
    """What goes into ServingCanary and what comes out."""

    PARAMETERS = {"settings": component_spec.ExecutionParameter(type=str)}
    INPUTS = {
        "model": component_spec.ChannelParameter(type=standard_artifacts.Model),
        "examples": component_spec.ChannelParameter(type=standard_artifacts.Examples),
        "model_blessing": component_spec.ChannelParameter(type=standard_artifacts.ModelBlessing),
    }
    OUTPUTS = {"blessing": component_spec.ChannelParameter(type=standard_artifacts.InfraBlessing)}


class ServingCanary(base_component.BaseComponent):
    """Serves a blessed candidate and refuses it (`errors.ModelRefused`) where serving it goes wrong.

    In InfraValidator's place, which needs docker: its output is the same, and the Pusher reads it the same way.
    """

    SPEC_CLASS = ServingCanarySpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)

    def __init__(
        self,
        model: types.BaseChannel,
        examples: types.BaseChannel,
        blessing: types.BaseChannel,
        settings: CanarySettings,
    ) -> None:
        """Asks `model` with rows of the eval split of `examples`, if the Evaluator's `blessing` says so."""
        super().__init__(
            ServingCanarySpec(
                model=model,
                examples=examples,
                model_blessing=blessing,
                settings=settings.model_dump_json(),
                blessing=types.Channel(type=standard_artifacts.InfraBlessing),
            )
        )
