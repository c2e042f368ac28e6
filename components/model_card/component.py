"""ModelCard: documents an evaluated model."""

from __future__ import annotations

from tfx.types import standard_artifacts

from components.artifacts import CardDocument, Quarantine
from components.declaration import Component, Input
from components.model_card.executor import Executor
from components.model_card.settings import CardSettings


class ModelCard(Component, executor=Executor):
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
      card: `CardDocument` with `model_card.md`.
    """

    OUTPUTS = {"card": CardDocument}

    examples: Input[standard_artifacts.Examples]
    quarantine: Input[Quarantine]
    statistics: Input[standard_artifacts.ExampleStatistics]
    model: Input[standard_artifacts.Model]
    model_run: Input[standard_artifacts.ModelRun]
    evaluation: Input[standard_artifacts.ModelEvaluation]
    settings: CardSettings
    hyperparameters: Input[standard_artifacts.HyperParameters] | None = None
