"""DataGate: nothing downstream runs on data that it refuses."""

from __future__ import annotations

from tfx import types
from tfx.dsl.components.base import base_component, executor_spec
from tfx.types import component_spec, standard_artifacts

from components.artifacts import GateDecision
from components.data_gate.executor import Executor
from components.data_gate.settings import GateSettings


class DataGateSpec(types.ComponentSpec):
    """What goes into DataGate and what comes out."""

    PARAMETERS = {
        "settings": component_spec.ExecutionParameter(type=str),
        "accept_reason": component_spec.ExecutionParameter(type=str, optional=True),
    }
    INPUTS = {
        "examples": component_spec.ChannelParameter(type=standard_artifacts.Examples),
        "statistics": component_spec.ChannelParameter(type=standard_artifacts.ExampleStatistics),
        "anomalies": component_spec.ChannelParameter(type=standard_artifacts.ExampleAnomalies),
        "last_decision": component_spec.ChannelParameter(type=GateDecision, optional=True),
    }
    OUTPUTS = {"decision": component_spec.ChannelParameter(type=GateDecision)}


class DataGate(base_component.BaseComponent):
    """Stops the run (`errors.DataRefused`) on anomalies, degenerate data, skew and drift.

    With an `accept_reason` it lets them pass, and records reason and checks in its decision.
    """

    SPEC_CLASS = DataGateSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)

    def __init__(
        self,
        examples: types.BaseChannel,
        statistics: types.BaseChannel,
        anomalies: types.BaseChannel,
        last_decision: types.BaseChannel,
        settings: GateSettings,
        accept_reason: str | None = None,
    ) -> None:
        """Judges the `statistics` of PairStatisticsGen and the `anomalies` of ExampleValidator.

        `last_decision` is what LastAcceptedOtherData resolves, or nothing.
        """
        super().__init__(
            DataGateSpec(
                examples=examples,
                statistics=statistics,
                anomalies=anomalies,
                last_decision=last_decision,
                settings=settings.model_dump_json(),
                accept_reason=accept_reason,
                decision=types.Channel(type=GateDecision),
            )
        )
