"""The resolver strategy of the data to compare with: the last accepted data other than the current data."""

from __future__ import annotations

import ml_metadata as mlmd
from tfx import types
from tfx.dsl.components.common import resolver

from components.data_gate.executor import STATISTICS_PROPERTY

STATISTICS, DECISION = "statistics", "decision"


class LastAcceptedOtherData(resolver.ResolverStrategy):
    """Resolves the latest decision about statistics other than the given ones.

    An unchanged run therefore has the same inputs as the run before it, and is cached.
    """

    def resolve_artifacts(
        self, store: mlmd.MetadataStore, input_dict: dict[str, list[types.Artifact]]
    ) -> dict[str, list[types.Artifact]] | None:
        """Resolves `decision` for the given `statistics` among all decisions of the pipeline, or no decision."""
        del store
        judged = {statistics.uri for statistics in input_dict[STATISTICS]}
        others = [
            decision
            for decision in input_dict[DECISION]
            if decision.get_string_custom_property(STATISTICS_PROPERTY) not in judged
        ]
        latest = max(others, key=lambda decision: decision.id, default=None)
        return {STATISTICS: input_dict[STATISTICS], DECISION: [latest] if latest else []}
