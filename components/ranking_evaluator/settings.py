"""What RankingEvaluator is told, as JSON between processes."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

from components.evaluator.slices import LEFT
from components.pair_example_gen.source import Layout


@dataclasses.dataclass(frozen=True)
class Candidates:
    """A file of pairs: the right entities to rank for each left one. `fingerprint` changes when the file does."""

    path: str
    layout: Layout
    fingerprint: str = ""


@dataclasses.dataclass(frozen=True)
class RankingSettings:
    """The metrics to measure, the slices to measure them on, and the candidates of the sampled protocol, if any."""

    metrics: tuple[str, ...]
    slices: tuple[str, ...] = LEFT
    candidates: Candidates | None = None

    def to_json(self) -> str:
        """JSON that `from_json` reads back."""
        return json.dumps(dataclasses.asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> RankingSettings:
        """Reads what `to_json` wrote."""
        tree: dict[str, Any] = json.loads(text)
        held = tree["candidates"]
        candidates = Candidates(**(held | {"layout": Layout(**held["layout"])})) if held else None
        return cls(tuple(tree["metrics"]), tuple(tree["slices"]), candidates)
