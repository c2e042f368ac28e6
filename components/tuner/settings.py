"""Settings of the Tuner."""

from __future__ import annotations

from sections import Section
from trainer.search.space import TuneSettings
from trainer.settings import EncodeSettings, ModelSettings, TrainSettings


class TunerSettings(Section):
    """The current settings, the metric that compares trials, and what to try."""

    encode: EncodeSettings
    model: ModelSettings
    train: TrainSettings
    metric: str
    tune: TuneSettings
