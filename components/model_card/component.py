"""ModelCard: documents an evaluated model."""

from __future__ import annotations

from tfx import types
from tfx.dsl.components.base import base_component, executor_spec
from tfx.types import component_spec, standard_artifacts

from components import artifacts
from components.model_card.executor import Executor
from components.model_card.settings import CardSettings


class ModelCardSpec(types.ComponentSpec):
    """Parameters, inputs and outputs of ModelCard."""

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
    """Writes the card of a model.

    Args:
      examples: `Examples` of PairExampleGen.
      quarantine: `Quarantine` of PairExampleGen.
      statistics: `ExampleStatistics` of PairStatisticsGen.
      model: `Model` to describe.
      model_run: `ModelRun` of the Trainer.
      evaluation: `ModelEvaluation` of PairEvaluator.
      settings: settings from the pipeline file.
      hyperparameters: `HyperParameters` of the Tuner, which replace some settings.

    Outputs:
      card: `ModelCard` with `model_card.md`.
    """

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
        """Creates the component."""
        super().__init__(
            ModelCardSpec(
                examples=examples,
                quarantine=quarantine,
                statistics=statistics,
                model=model,
                model_run=model_run,
                evaluation=evaluation,
                settings=settings.model_dump_json(),
                hyperparameters=hyperparameters,
                card=types.Channel(type=artifacts.ModelCard),
            )
        )
