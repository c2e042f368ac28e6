"""Tuner: searches settings of the model and of training."""

from __future__ import annotations

from tfx.types import standard_artifacts

from components.declaration import Component, Input
from components.tuner.executor import Executor
from components.tuner.settings import TunerSettings


class Tuner(Component, executor=Executor):
    """Tries settings on the train split. The Trainer uses the recommended ones.

    Args:
      examples: `Examples` with split `train`.
      transform_graph: `TransformGraph` with the vocabularies.
      settings: the current settings, and what to try.

    Outputs:
      best_hyperparameters: `HyperParameters`, the recommended settings in the format that TFX's Trainer reads.
      tuner_results: `TunerResults` with `tuning.json`, every trial and how it compares with the current settings.
    """

    OUTPUTS = {
        "best_hyperparameters": standard_artifacts.HyperParameters,
        "tuner_results": standard_artifacts.TunerResults,
    }

    examples: Input[standard_artifacts.Examples]
    transform_graph: Input[standard_artifacts.TransformGraph]
    settings: TunerSettings
