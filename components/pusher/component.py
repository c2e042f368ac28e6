"""VersionPusher: TFX's Pusher contract, published by one rename."""

from __future__ import annotations

from tfx import types
from tfx.dsl.components.base import base_component, executor_spec
from tfx.proto import pusher_pb2
from tfx.types import component_spec, standard_artifacts

from components.artifacts import ModelCard
from components.pusher.executor import Executor


class VersionPusherSpec(types.ComponentSpec):
    """What goes into VersionPusher and what comes out."""

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
    """Publishes a blessed model as the next version of a directory and retires versions beyond `keep`."""

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
        """Publishes `model` and its `card` below `directory` if the Evaluator's `blessing` and the `canary` say so."""
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
