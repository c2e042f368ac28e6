"""PairStatisticsGen: StatisticsGen's outputs for pairs, several times faster, plus the exact distributions."""

from __future__ import annotations

from tfx.dsl.components.base import base_component
from tfx.types import standard_artifacts

from components.declaration import Component, Input
from components.pair_statistics.executor import Executor


class PairStatisticsGen(Component, base_component.BaseComponent, executor=Executor):
    """Describes every split of `examples`.

    Args:
      examples: `Examples` of PairExampleGen.
      max_rows: maximum number of scores. If there are more, takes a random sample of about this size.

    Outputs:
      statistics: `ExampleStatistics` with TFDV's statistics of each split, and the exact distributions in
        `distributions/SPLIT`.
    """

    OUTPUTS = {"statistics": standard_artifacts.ExampleStatistics}

    examples: Input[standard_artifacts.Examples]
    max_rows: int = 20_000_000
