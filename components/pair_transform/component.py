"""PairTransform: learns vocabularies and score statistics from whole batches."""

from __future__ import annotations

from typing import Any

from tfx import types
from tfx.components.transform.component import Transform
from tfx.dsl.components.base import executor_spec

from components.pair_transform.executor import Executor
from trainer.custom_config import transform_config


class PairTransform(Transform):
    """TFX's Transform with an executor that writes only the transform graph.

    PairStatisticsGen already describes the raw data. The Trainer encodes the examples itself, which costs less than
    writing and reading transformed examples. The next run has other examples, so no analysis is cached.

    Args:
      examples: `Examples`. The split `train` is analyzed.
      schema: `Schema` of the raw features.
      preprocessing_fn: import path of a function of raw features and `custom_config`.
      custom_config: JSON value that the function gets. By default, the default sections `encode` and `score`.

    Outputs:
      transform_graph: `TransformGraph` with vocabularies and score statistics.
    """

    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(Executor)

    def __init__(
        self,
        examples: types.BaseChannel,
        schema: types.BaseChannel,
        preprocessing_fn: str = "trainer.preprocessing.preprocessing_fn",
        custom_config: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(
            examples=examples,
            schema=schema,
            preprocessing_fn=preprocessing_fn,
            custom_config=transform_config() if custom_config is None else custom_config,
            materialize=False,
            disable_statistics=True,
            disable_analyzer_cache=True,
        )
