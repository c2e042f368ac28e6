"""Which data to compare with: the last that the gate accepted, other than those under judgement."""

from __future__ import annotations

import ml_metadata as mlmd
from tfx import types
from tfx.dsl.components.common import resolver

from components.data_gate.executor import STATISTICS_PROPERTY

STATISTICS, DECISION = "statistics", "decision"


class LastAcceptedOtherData(resolver.ResolverStrategy):
    """The newest decision about other statistics than the given ones.

    So an unchanged run has the same inputs as the run before it, and comes from cache.
    """

    def resolve_artifacts(
        self, store: mlmd.MetadataStore, input_dict: dict[str, list[types.Artifact]]
    ) -> dict[str, list[types.Artifact]] | None:
        """Resolves `decision` among all that the pipeline ever made, given `statistics`; empty where there is none."""
        del store
        judged = {statistics.uri for statistics in input_dict[STATISTICS]}
        others = [
            decision
            for decision in input_dict[DECISION]
            if decision.get_string_custom_property(STATISTICS_PROPERTY) not in judged
        ]
        latest = max(others, key=lambda decision: decision.id, default=None)
        return {STATISTICS: input_dict[STATISTICS], DECISION: [latest] if latest else []}
