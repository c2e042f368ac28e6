"""RankingEvaluator: ranking metrics beside the Evaluator's errors of scores."""

from __future__ import annotations

from tfx import types
from tfx.dsl.components.base import base_component, executor_spec
from tfx.types import component_spec, standard_artifacts

from components.ranking_evaluator.executor import Executor
from components.ranking_evaluator.settings import RankingSettings


class RankingEvaluatorSpec(types.ComponentSpec):
    """What goes into RankingEvaluator and what comes out."""

    PARAMETERS = {"settings": component_spec.ExecutionParameter(type=str)}
    INPUTS = {
        "examples": component_spec.ChannelParameter(type=standard_artifacts.Examples),
        "transform_graph": component_spec.ChannelParameter(type=standard_artifacts.TransformGraph),
        "model": component_spec.ChannelParameter(type=standard_artifacts.Model),
        "baseline_model": component_spec.ChannelParameter(type=standard_artifacts.Model, optional=True),
    }
    OUTPUTS = {"evaluation": component_spec.ChannelParameter(type=standard_artifacts.ModelEvaluation)}


class RankingEvaluator(base_component.BaseComponent):
    """Ranks the catalogue for every left entity of the eval split, without what training has seen."""

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
        """Measures `model` beside `baseline_model`, the last blessed one, if any."""
        super().__init__(
            RankingEvaluatorSpec(
                examples=examples,
                transform_graph=transform_graph,
                model=model,
                baseline_model=baseline_model,
                settings=settings.to_json(),
                evaluation=types.Channel(type=standard_artifacts.ModelEvaluation),
            )
        )
