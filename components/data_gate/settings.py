"""Section `validate`: the bounds of the gate."""

from __future__ import annotations

from sections import PositiveInt, Section, Share

DRIFT_RULES = (
    "validate.max_unseen_share",
    "validate.max_entity_distance",
    "validate.max_score_divergence",
    "validate.max_new_values",
)
"""The rules that compare with earlier data."""


class GateSettings(Section):
    """The bounds of the gate. None switches a bound off.

    `min_rows` is of the train split, and `min_eval_rows` of the eval split.
    `max_unseen_share`, `max_entity_distance` and `max_score_divergence` compare with the last accepted data.
    `max_missing_features` is the share of entities without a value of one feature. `max_new_values` compares categories
    and tags with those of the last accepted data.
    `max_statistics_rows` limits the rows that StatisticsGen reads.
    """

    min_rows: PositiveInt = 10
    min_eval_rows: PositiveInt = 10
    min_entities: PositiveInt = 2
    max_entity_share: Share | None = 0.9
    max_score_skew: Share | None = 0.2
    max_unseen_share: Share | None = 0.5
    max_entity_distance: Share | None = 0.2
    max_score_divergence: Share | None = 0.2
    max_missing_features: Share | None = 0.95
    max_new_values: Share | None = 0.5
    max_statistics_rows: PositiveInt = 20_000_000
