"""Section `publish.replay`: which logged requests are replayed before publication, and the rules on the answers."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from sections import NonNegativeInt, Number, PositiveInt, Section, Share, Text
from storage.settings import DataPath


class ReplaySettings(Section):
    """Settings of ReplayCheck. A rule that is None only reports its figure.

    Attributes:
      log: the beginning of the paths of the log files, or of the URLs of objects.
      model: name of the model in the log. None means the name of the pipeline.
      requests: maximum number of requests to replay, drawn from the whole log.
      min_requests: how many requests must be compared.
      max_failed: bound of the share of requests that the served version answers and the candidate does not.
      max_score_change: bound of the mean absolute difference of the scores of pairs.
      max_sign_changes: bound of the share of pairs whose score changes its sign.
      min_rank_overlap: bound of the mean share of ids that the rankings of both models have in common.
      max_lost_ids: bound of the share of requested ids that the served version knows and the candidate does not.
      max_latency_ratio: bound of the candidate's time for all requests, divided by that of the served version.
    """

    log: DataPath
    model: Text | None = None
    requests: PositiveInt = 1000
    min_requests: NonNegativeInt = 0
    max_failed: Share | None = None
    max_score_change: Annotated[Number, Field(ge=0)] | None = None
    max_sign_changes: Share | None = None
    min_rank_overlap: Share | None = None
    max_lost_ids: Share | None = None
    max_latency_ratio: Annotated[Number, Field(gt=0)] | None = None


def _from_text(value: Any) -> Any:
    return {"log": value} if isinstance(value, str) else value


Replay = Annotated[ReplaySettings, BeforeValidator(_from_text, json_schema_input_type=str | ReplaySettings)]
"""A section, or the text of its key `log`."""
