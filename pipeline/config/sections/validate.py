"""Section `validate`: what the gate lets pass."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from pipeline.config.sections.base import Number, PositiveInt, Section

Share = Annotated[Number, Field(ge=0, le=1)]


class Validate(Section):
    """What the gate lets pass; null switches a bound off. The last three compare with the last accepted data."""

    min_rows: PositiveInt = 10
    min_entities: PositiveInt = 2
    max_entity_share: Share | None = 0.9
    max_score_skew: Share | None = 0.2
    max_unseen_share: Share | None = 0.5
    max_entity_distance: Share | None = 0.2
    max_score_divergence: Share | None = 0.2
    max_statistics_rows: PositiveInt = 20_000_000
