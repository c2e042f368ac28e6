"""Section `publish`: where blessed models are published, and how they are tested first."""

from __future__ import annotations

from pydantic import StrictBool

from components.serving_canary.settings import CanarySettings
from sections import PositiveInt, Section, Text


class Publish(Section):
    """Where blessed models are published, relative to ROOT or a gs:// URL, and how many versions are kept.

    A directory outside ROOT must be allowed with `outside_root`, because old versions in it are removed.
    """

    to: Text = "serving"
    outside_root: StrictBool = False
    keep: PositiveInt = 5
    canary: CanarySettings = CanarySettings()
