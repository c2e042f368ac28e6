"""PairTransform: vocabularies and score statistics, learned from whole batches."""

from __future__ import annotations

from typing import Any

from tfx import types
from tfx.components.transform.component import Transform
from tfx.dsl.components.base import executor_spec

from components.pair_transform.executor import Executor


class PairTransform(Transform):
    """TFX's Transform with an executor that learns the transform graph and writes nothing else.

    Statistics describe the raw data already, and training encodes the examples itself, which costs less than writing
    them and reading them back. The next run has other examples, so analyses are not kept for it.

    Args:
      examples: a channel of `Examples`. The split `train` is analyzed.
      schema: a channel of `Schema` of the raw features.
      preprocessing_fn: the import path of a function of raw features and `custom_config`.
      custom_config: what the function is called with. It must be JSON.
    """

    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(Executor)

    def __init__(
        self,
        examples: types.BaseChannel,
        schema: types.BaseChannel,
        preprocessing_fn: str,
        custom_config: dict[str, Any],
    ) -> None:
        super().__init__(
            examples=examples,
            schema=schema,
            preprocessing_fn=preprocessing_fn,
            custom_config=custom_config,
            materialize=False,
            disable_statistics=True,
            disable_analyzer_cache=True,
        )
