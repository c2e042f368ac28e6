"""Settings of ModelCard, as JSON between processes."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

from trainer.settings import with_values


@dataclasses.dataclass(frozen=True)
class CardSettings:
    """The pipeline's name, and the sections of its file that describe the model."""

    pipeline: str
    data: dict[str, Any]
    encode: dict[str, Any]
    score: dict[str, Any]
    model: dict[str, Any]
    train: dict[str, Any]

    def to_json(self) -> str:
        """Returns JSON for `from_json`. Equal settings give equal text."""
        return json.dumps(dataclasses.asdict(self), sort_keys=True)

    def with_values(self, values: Mapping[str, Any]) -> CardSettings:
        """Returns a copy with new settings at the dotted keys of `values`, such as `train.learning_rate`."""
        return CardSettings(**with_values(dataclasses.asdict(self), values))

    @classmethod
    def from_json(cls, text: str) -> CardSettings:
        """Reads the output of `to_json`."""
        return cls(**json.loads(text))
