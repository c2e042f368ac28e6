"""PairStatisticsGen: StatisticsGen's outputs for pairs, several times faster, plus the exact distributions."""

from __future__ import annotations

from tfx import types
from tfx.dsl.components.base import base_component, executor_spec
from tfx.types import component_spec, standard_artifacts

from components.pair_statistics.executor import Executor


class PairStatisticsGenSpec(types.ComponentSpec):
    """Parameters, inputs and outputs of PairStatisticsGen."""

    PARAMETERS = {"max_rows": component_spec.ExecutionParameter(type=int)}
    INPUTS = {"examples": component_spec.ChannelParameter(type=standard_artifacts.Examples)}
    OUTPUTS = {"statistics": component_spec.ChannelParameter(type=standard_artifacts.ExampleStatistics)}


class PairStatisticsGen(base_component.BaseComponent):
    """Describes every split of `examples`.

    Args:
      examples: `Examples` of PairExampleGen.
      max_rows: maximum number of scores. If there are more, takes a random sample of about this size.

    Outputs:
      statistics: `ExampleStatistics` with TFDV's statistics of each split, and the exact distributions in
        `distributions/SPLIT`.
    """

    SPEC_CLASS = PairStatisticsGenSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)

    def __init__(self, examples: types.BaseChannel, max_rows: int) -> None:
        """Creates the component."""
        statistics = types.Channel(type=standard_artifacts.ExampleStatistics)
        super().__init__(PairStatisticsGenSpec(examples=examples, max_rows=max_rows, statistics=statistics))
