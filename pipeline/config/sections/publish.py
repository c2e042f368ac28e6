"""Section `publish`: where blessed models go, and how they are tried before."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from pipeline.config.sections.base import Number, PositiveInt, Section, Text


class Canary(Section):
    """What a candidate is asked while it is served, before it is published; it cannot be switched off."""

    rows: PositiveInt = 64
    max_p99_ms: Annotated[Number, Field(gt=0)] | None = None
    start_seconds: Annotated[Number, Field(gt=0)] = 120.0


class Publish(Section):
    """Where blessed models go, relative to ROOT or a gs:// URL, and how many versions are kept there."""

    to: Text = "serving"
    keep: PositiveInt = 5
    canary: Canary = Canary()
