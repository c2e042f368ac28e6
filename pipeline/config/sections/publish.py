"""Section `publish`: where blessed models are published, and how they are tested first."""

from __future__ import annotations

from pydantic import StrictBool

from components.replay.settings import Replay
from components.serving_canary.settings import CanarySettings
from pipeline.config.sections.watch import WatchSettings
from sections import PositiveInt, Section
from storage.settings import DataPath
from trainer.settings import Approximate


class Publish(Section):
    """How models are published.

    Attributes:
      to: where, relative to ROOT or the URL of an object store.
      outside_root: whether `to` may be a directory outside ROOT. Old versions in it are removed.
      keep: how many versions are kept.
      approve: whether a blessed model awaits `kindred approve` before servers see it.
      approximate: whether a model has approximate rankings. `auto` means that it has many entities.
      canary: how a model is tested first.
      replay: the logged requests on which a model is compared with the served version, and the rules on it.
      watch: how a version is watched after its publication, and when it is rolled back.
    """

    to: DataPath = "serving"
    outside_root: StrictBool = False
    keep: PositiveInt = 5
    approve: StrictBool = False
    approximate: Approximate = "auto"
    canary: CanarySettings = CanarySettings()
    replay: Replay | None = None
    watch: WatchSettings | None = None
