"""PairEvaluator: stands in for TFX's Evaluator, with its artifacts."""

from __future__ import annotations

from tfx import types
from tfx.dsl.components.base import base_component, executor_spec
from tfx.types import component_spec, standard_artifacts

from components.evaluator.executor import Executor
from components.evaluator.settings import EvaluationSettings


class PairEvaluatorSpec(types.ComponentSpec):
    """What goes into PairEvaluator and what comes out."""

    PARAMETERS = {"settings": component_spec.ExecutionParameter(type=str)}
    INPUTS = {
        "examples": component_spec.ChannelParameter(type=standard_artifacts.Examples),
        "transform_graph": component_spec.ChannelParameter(type=standard_artifacts.TransformGraph),
        "model": component_spec.ChannelParameter(type=standard_artifacts.Model),
        "baseline_model": component_spec.ChannelParameter(type=standard_artifacts.Model, optional=True),
        "ranking": component_spec.ChannelParameter(type=standard_artifacts.ModelEvaluation, optional=True),
    }
    OUTPUTS = {
        "evaluation": component_spec.ChannelParameter(type=standard_artifacts.ModelEvaluation),
        "blessing": component_spec.ChannelParameter(type=standard_artifacts.ModelBlessing),
    }


class PairEvaluator(base_component.BaseComponent):
    """Measures scores against labels on the eval split, and blesses the model if every rule holds."""

    SPEC_CLASS = PairEvaluatorSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)

    def __init__(
        self,
        examples: types.BaseChannel,
        transform_graph: types.BaseChannel,
        model: types.BaseChannel,
        baseline_model: types.BaseChannel,
        settings: EvaluationSettings,
        ranking: types.BaseChannel | None = None,
    ) -> None:
        """Judges `model` beside `baseline_model`, the last blessed one, if any; `ranking` is RankingEvaluator's."""
        super().__init__(
            PairEvaluatorSpec(
                examples=examples,
                transform_graph=transform_graph,
                model=model,
                baseline_model=baseline_model,
                ranking=ranking,
                settings=settings.to_json(),
                evaluation=types.Channel(type=standard_artifacts.ModelEvaluation),
                blessing=types.Channel(type=standard_artifacts.ModelBlessing),
            )
        )
