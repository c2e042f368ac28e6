"""What the card is told of the pipeline file, as JSON between processes."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

from trainer.settings import with_values


@dataclasses.dataclass(frozen=True)
class CardSettings:
    """The pipeline's name, and the sections of its file that say what the model is."""

    pipeline: str
    data: dict[str, Any]
    encode: dict[str, Any]
    score: dict[str, Any]
    model: dict[str, Any]
    train: dict[str, Any]

    def to_json(self) -> str:
        """JSON that `from_json` reads back; equal settings give equal text."""
        return json.dumps(dataclasses.asdict(self), sort_keys=True)

    def with_values(self, values: Mapping[str, Any]) -> CardSettings:
        """With other settings at the dotted keys of `values`, such as `train.learning_rate`."""
        return CardSettings(**with_values(dataclasses.asdict(self), values))

    @classmethod
    def from_json(cls, text: str) -> CardSettings:
        """Reads what `to_json` wrote."""
        return cls(**json.loads(text))
