"""What the canary is told by the pipeline file."""

from __future__ import annotations

import dataclasses
import json


@dataclasses.dataclass(frozen=True)
class CanarySettings:
    """How many eval rows are asked, the bound on the latency of a single request, and how long a start may take."""

    rows: int = 64
    max_p99_ms: float | None = None
    start_seconds: float = 120.0

    def to_json(self) -> str:
        """For an execution property."""
        return json.dumps(dataclasses.asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> CanarySettings:
        """The inverse of `to_json`."""
        return cls(**json.loads(text))
