"""PairEvaluator: replaces TFX's Evaluator and writes the same artifact types."""

from __future__ import annotations

from tfx import types
from tfx.dsl.components.base import base_component, executor_spec
from tfx.types import component_spec, standard_artifacts

from components.evaluator.executor import Executor
from components.evaluator.settings import EvaluationSettings


class PairEvaluatorSpec(types.ComponentSpec):
    """Parameters, inputs and outputs of PairEvaluator."""

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
    """Compares scores with labels on the eval split, and blesses the model if every rule holds.

    Args:
      examples: `Examples` with splits `train` and `eval`.
      transform_graph: `TransformGraph` with the center and the scale of the scores.
      model: `Model`, the candidate.
      baseline_model: `Model`, the last blessed model. The channel can be empty.
      settings: rules and slices.
      ranking: `ModelEvaluation` of RankingEvaluator. Its figures join the evaluation.

    Outputs:
      evaluation: `ModelEvaluation` with `evaluation.json`, `worst_pairs.parquet` and the files of TFMA.
      blessing: `ModelBlessing`, with the properties of TFX's own Evaluator.
    """

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
        """Creates the component."""
        super().__init__(
            PairEvaluatorSpec(
                examples=examples,
                transform_graph=transform_graph,
                model=model,
                baseline_model=baseline_model,
                ranking=ranking,
                settings=settings.model_dump_json(),
                evaluation=types.Channel(type=standard_artifacts.ModelEvaluation),
                blessing=types.Channel(type=standard_artifacts.ModelBlessing),
            )
        )
