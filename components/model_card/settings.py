"""Settings of ModelCard."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sections import Section
from trainer.settings import with_values


class CardSettings(Section):
    """The pipeline's name, and the sections of its file that describe the model."""

    pipeline: str
    data: dict[str, Any]
    encode: dict[str, Any]
    score: dict[str, Any]
    model: dict[str, Any]
    train: dict[str, Any]

    def with_values(self, values: Mapping[str, Any]) -> CardSettings:
        """Returns a copy with new settings at the dotted keys of `values`, such as `train.learning_rate`."""
        return CardSettings.model_validate(with_values(self.model_dump(), values))
