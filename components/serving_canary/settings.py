"""Section `publish.canary`: how a candidate is tried while it is served, before it is published."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from sections import Number, PositiveInt, Section


class CanarySettings(Section):
    """How many eval rows are asked, the bound on the latency of a single request, and how long a start may take.

    The canary cannot be switched off.
    """

    rows: PositiveInt = 64
    max_p99_ms: Annotated[Number, Field(gt=0)] | None = None
    start_seconds: Annotated[Number, Field(gt=0)] = 120.0
