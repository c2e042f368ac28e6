"""Section `score`: how raw scores become signed labels."""

from __future__ import annotations

from typing import Literal

from pipeline.config.sections.base import Section


class Score(Section):
    """How raw scores become signed labels: (score - center) / scale."""

    center: Literal["mean", "midpoint", "none"] = "mean"
    scale: Literal["std", "none"] = "none"
