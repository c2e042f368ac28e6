"""Section `publish`: where blessed models go, and how they are tried before."""

from __future__ import annotations

from components.serving_canary.settings import CanarySettings
from sections import PositiveInt, Section, Text


class Publish(Section):
    """Where blessed models go, relative to ROOT or a gs:// URL, and how many versions are kept there."""

    to: Text = "serving"
    keep: PositiveInt = 5
    canary: CanarySettings = CanarySettings()
