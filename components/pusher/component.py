"""VersionPusher: implements TFX's Pusher contract and publishes with one rename."""

from __future__ import annotations

from tfx import types
from tfx.dsl.components.base import base_component, executor_spec
from tfx.proto import pusher_pb2
from tfx.types import component_spec, standard_artifacts

from components.artifacts import ModelCard
from components.pusher.executor import Executor


class VersionPusherSpec(types.ComponentSpec):
    """Parameters, inputs and outputs of VersionPusher."""

    PARAMETERS = {
        "push_destination": component_spec.ExecutionParameter(type=pusher_pb2.PushDestination),
        "keep": component_spec.ExecutionParameter(type=int),
    }
    INPUTS = {
        "model": component_spec.ChannelParameter(type=standard_artifacts.Model),
        "model_blessing": component_spec.ChannelParameter(type=standard_artifacts.ModelBlessing),
        "infra_blessing": component_spec.ChannelParameter(type=standard_artifacts.InfraBlessing),
        "card": component_spec.ChannelParameter(type=ModelCard, optional=True),
    }
    OUTPUTS = {"pushed_model": component_spec.ChannelParameter(type=standard_artifacts.PushedModel)}


class VersionPusher(base_component.BaseComponent):
    """Publishes a blessed model as the next version of a directory, and retires old versions.

    Args:
      model: `Model` to publish.
      blessing: `ModelBlessing` of the Evaluator.
      canary: `InfraBlessing` of the serving canary.
      card: `ModelCard` to publish with the model. The channel can be empty.
      directory: serving directory or URL. Each version is a numbered folder in it.
      keep: number of versions to keep.

    Outputs:
      pushed_model: `PushedModel`, marked as pushed or not, with version and path.
    """

    SPEC_CLASS = VersionPusherSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)

    def __init__(
        self,
        model: types.BaseChannel,
        blessing: types.BaseChannel,
        canary: types.BaseChannel,
        card: types.BaseChannel,
        directory: str,
        keep: int,
    ) -> None:
        """Creates the component."""
        filesystem = pusher_pb2.PushDestination.Filesystem(base_directory=directory)
        super().__init__(
            VersionPusherSpec(
                model=model,
                model_blessing=blessing,
                infra_blessing=canary,
                card=card,
                push_destination=pusher_pb2.PushDestination(filesystem=filesystem),
                keep=keep,
                pushed_model=types.Channel(type=standard_artifacts.PushedModel),
            )
        )
