"""PairEvaluator: replaces TFX's Evaluator and writes the same artifact types."""

from __future__ import annotations

from tfx.types import standard_artifacts

from components.declaration import Component, Input
from components.evaluator.executor import Executor
from components.evaluator.settings import EvaluationSettings


class PairEvaluator(Component, executor=Executor):
    """Compares scores with labels on the eval split, and blesses the model if every rule holds.

    Args:
      examples: `Examples` with splits `train` and `eval`.
      model: `Model`, the candidate.
      transform_graph: `TransformGraph` of the candidate, for lineage. Center and scale are read from the model.
      baseline_model: `Model`, the last blessed model. The channel can be empty.
      settings: rules and slices. By default, the model must beat the constant mean and the last blessed model.
      ranking: `ModelEvaluation` of RankingEvaluator. Its figures join the evaluation.

    Outputs:
      evaluation: `ModelEvaluation` with `evaluation.json`, `worst_pairs.parquet` and the files of TFMA.
      blessing: `ModelBlessing`, with the properties of TFX's own Evaluator.
    """

    OUTPUTS = {"evaluation": standard_artifacts.ModelEvaluation, "blessing": standard_artifacts.ModelBlessing}

    examples: Input[standard_artifacts.Examples]
    model: Input[standard_artifacts.Model]
    transform_graph: Input[standard_artifacts.TransformGraph] | None = None
    baseline_model: Input[standard_artifacts.Model] | None = None
    settings: EvaluationSettings = EvaluationSettings()
    ranking: Input[standard_artifacts.ModelEvaluation] | None = None
