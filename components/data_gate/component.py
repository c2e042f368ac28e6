"""DataGate: nothing downstream runs on data that it refuses."""

from __future__ import annotations

from tfx import types
from tfx.dsl.components.base import base_component, executor_spec
from tfx.types import component_spec, standard_artifacts

from components.artifacts import GateDecision
from components.data_gate.executor import Executor


class DataGateSpec(types.ComponentSpec):
    """What goes into DataGate and what comes out."""

    PARAMETERS: dict[str, component_spec.ExecutionParameter] = {}
    INPUTS = {
        "statistics": component_spec.ChannelParameter(type=standard_artifacts.ExampleStatistics),
        "anomalies": component_spec.ChannelParameter(type=standard_artifacts.ExampleAnomalies),
    }
    OUTPUTS = {"decision": component_spec.ChannelParameter(type=GateDecision)}


class DataGate(base_component.BaseComponent):
    """Stops the run (`components.errors.DataRefused`) on schema anomalies and on splits with too few rows."""

    SPEC_CLASS = DataGateSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)

    def __init__(self, statistics: types.BaseChannel, anomalies: types.BaseChannel) -> None:
        """Judges the `statistics` of StatisticsGen and the `anomalies` of ExampleValidator."""
        decision = types.Channel(type=GateDecision)
        super().__init__(DataGateSpec(statistics=statistics, anomalies=anomalies, decision=decision))
