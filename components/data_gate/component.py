"""DataGate: stops the run before training if the data break a rule."""

from __future__ import annotations

from tfx.types import standard_artifacts

from components.artifacts import GateDecision
from components.data_gate.executor import Executor
from components.data_gate.settings import GateSettings
from components.declaration import Component, Input


class DataGate(Component, executor=Executor):
    """Refuses data with anomalies, too few rows or entities, skew between the splits, or drift.

    Args:
      examples: `Examples` of PairExampleGen. An error message shows rows of it.
      statistics: `ExampleStatistics` of PairStatisticsGen.
      anomalies: `ExampleAnomalies` of ExampleValidator.
      last_decision: `GateDecision` that LastAcceptedOtherData resolves. The channel can be empty.
      settings: bounds of the rules.
      accept_reason: why the run continues although the data break rules. The decision records the reason.

    Outputs:
      decision: `GateDecision` with `decision.json`.
    """

    OUTPUTS = {"decision": GateDecision}

    examples: Input[standard_artifacts.Examples]
    statistics: Input[standard_artifacts.ExampleStatistics]
    anomalies: Input[standard_artifacts.ExampleAnomalies]
    last_decision: Input[GateDecision] | None = None
    settings: GateSettings = GateSettings()
    accept_reason: str | None = None
