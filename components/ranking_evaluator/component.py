"""RankingEvaluator: ranking metrics, in addition to the Evaluator's score metrics."""

from __future__ import annotations

from tfx import types
from tfx.dsl.components.base import base_component, executor_spec
from tfx.types import component_spec, standard_artifacts

from components.ranking_evaluator.executor import Executor
from components.ranking_evaluator.settings import RankingSettings


class RankingEvaluatorSpec(types.ComponentSpec):
    """Parameters, inputs and outputs of RankingEvaluator."""

    PARAMETERS = {"settings": component_spec.ExecutionParameter(type=str)}
    INPUTS = {
        "examples": component_spec.ChannelParameter(type=standard_artifacts.Examples),
        "transform_graph": component_spec.ChannelParameter(type=standard_artifacts.TransformGraph),
        "model": component_spec.ChannelParameter(type=standard_artifacts.Model),
        "baseline_model": component_spec.ChannelParameter(type=standard_artifacts.Model, optional=True),
    }
    OUTPUTS = {"evaluation": component_spec.ChannelParameter(type=standard_artifacts.ModelEvaluation)}


class RankingEvaluator(base_component.BaseComponent):
    """Ranks the catalogue for every left entity of the eval split. Excludes pairs of the train split.

    Args:
      examples: `Examples` with splits `train` and `eval`.
      transform_graph: `TransformGraph` with the center of the scores, above which a pair is positive.
      model: `Model`, the candidate.
      baseline_model: `Model`, the last blessed model. The channel can be empty.
      settings: metrics, slices and candidates.

    Outputs:
      evaluation: `ModelEvaluation` with `ranking.json`.
    """

    SPEC_CLASS = RankingEvaluatorSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)

    def __init__(
        self,
        examples: types.BaseChannel,
        transform_graph: types.BaseChannel,
        model: types.BaseChannel,
        baseline_model: types.BaseChannel,
        settings: RankingSettings,
    ) -> None:
        """Creates the component."""
        super().__init__(
            RankingEvaluatorSpec(
                examples=examples,
                transform_graph=transform_graph,
                model=model,
                baseline_model=baseline_model,
                settings=settings.model_dump_json(),
                evaluation=types.Channel(type=standard_artifacts.ModelEvaluation),
            )
        )
