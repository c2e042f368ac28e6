"""Section `publish.canary`: how a candidate is tested in a server before it is published."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from sections import Number, PositiveInt, Section


class CanarySettings(Section):
    """Settings of ServingCanary, which cannot be switched off.

    Attributes:
      rows: number of eval rows to send.
      max_p99_ms: bound of the 99th percentile of the latency of a single request, in milliseconds. None means no bound.
      start_seconds: maximum time until the server has loaded the model.
    """

    rows: PositiveInt = 64
    max_p99_ms: Annotated[Number, Field(gt=0)] | None = None
    start_seconds: Annotated[Number, Field(gt=0)] = 120.0
