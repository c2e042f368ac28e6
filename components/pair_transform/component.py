"""PairTransform: TFX's Transform with our executor."""

from __future__ import annotations

from tfx.components.transform.component import Transform
from tfx.dsl.components.base import executor_spec

from components.pair_transform.executor import Executor


class PairTransform(Transform):
    """TFX's Transform, reading whole batches."""

    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(Executor)
