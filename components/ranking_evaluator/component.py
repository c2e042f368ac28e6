"""RankingEvaluator: ranking metrics, in addition to the Evaluator's score metrics."""

from __future__ import annotations

from tfx.types import standard_artifacts

from components.declaration import Component, Input
from components.ranking_evaluator.executor import Executor
from components.ranking_evaluator.settings import RankingSettings


class RankingEvaluator(Component, executor=Executor):
    """Ranks the catalogue for every left entity of the eval split. Excludes pairs of the train split.

    Args:
      examples: `Examples` with splits `train` and `eval`.
      model: `Model`, the candidate.
      transform_graph: `TransformGraph` of the candidate, for lineage. The center is read from the model.
      baseline_model: `Model`, the last blessed model. The channel can be empty.
      settings: metrics, slices and candidates.

    Outputs:
      evaluation: `ModelEvaluation` with `ranking.json`.
    """

    OUTPUTS = {"evaluation": standard_artifacts.ModelEvaluation}

    examples: Input[standard_artifacts.Examples]
    model: Input[standard_artifacts.Model]
    settings: RankingSettings
    transform_graph: Input[standard_artifacts.TransformGraph] | None = None
    baseline_model: Input[standard_artifacts.Model] | None = None
