"""ModelCard: what is known of a model once it is evaluated, as a document."""

from __future__ import annotations

from tfx import types
from tfx.dsl.components.base import base_component, executor_spec
from tfx.types import component_spec, standard_artifacts

from components import artifacts
from components.model_card.executor import Executor
from components.model_card.settings import CardSettings


class ModelCardSpec(types.ComponentSpec):
    """What goes into ModelCard and what comes out."""

    PARAMETERS = {"settings": component_spec.ExecutionParameter(type=str)}
    INPUTS = {
        "examples": component_spec.ChannelParameter(type=standard_artifacts.Examples),
        "quarantine": component_spec.ChannelParameter(type=artifacts.Quarantine),
        "statistics": component_spec.ChannelParameter(type=standard_artifacts.ExampleStatistics),
        "model": component_spec.ChannelParameter(type=standard_artifacts.Model),
        "model_run": component_spec.ChannelParameter(type=standard_artifacts.ModelRun),
        "evaluation": component_spec.ChannelParameter(type=standard_artifacts.ModelEvaluation),
        "hyperparameters": component_spec.ChannelParameter(type=standard_artifacts.HyperParameters, optional=True),
    }
    OUTPUTS = {"card": component_spec.ChannelParameter(type=artifacts.ModelCard)}


class ModelCard(base_component.BaseComponent):
    """Writes the card of a model."""

    SPEC_CLASS = ModelCardSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)

    def __init__(
        self,
        examples: types.BaseChannel,
        quarantine: types.BaseChannel,
        statistics: types.BaseChannel,
        model: types.BaseChannel,
        model_run: types.BaseChannel,
        evaluation: types.BaseChannel,
        settings: CardSettings,
        hyperparameters: types.BaseChannel | None = None,
    ) -> None:
        """Describes `model`: `model_run` tells of its training, `evaluation` of its worth.

        `hyperparameters` are those that a Tuner found, in place of some of the settings.
        """
        super().__init__(
            ModelCardSpec(
                examples=examples,
                quarantine=quarantine,
                statistics=statistics,
                model=model,
                model_run=model_run,
                evaluation=evaluation,
                settings=settings.to_json(),
                hyperparameters=hyperparameters,
                card=types.Channel(type=artifacts.ModelCard),
            )
        )
