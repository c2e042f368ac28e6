"""Settings of RankingEvaluator, as JSON between processes."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

from components.evaluator.slices import LEFT
from components.pair_example_gen.source import Layout


@dataclasses.dataclass(frozen=True)
class Candidates:
    """A file of candidate pairs: the right entities to rank for each left one. `fingerprint` changes with the file."""

    path: str
    layout: Layout
    fingerprint: str = ""


@dataclasses.dataclass(frozen=True)
class RankingSettings:
    """The metrics, the slices, and the candidates of the sampled protocol (optional)."""

    metrics: tuple[str, ...]
    slices: tuple[str, ...] = LEFT
    candidates: Candidates | None = None

    def to_json(self) -> str:
        """Returns JSON for `from_json`."""
        return json.dumps(dataclasses.asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> RankingSettings:
        """Reads the output of `to_json`."""
        tree: dict[str, Any] = json.loads(text)
        held = tree["candidates"]
        candidates = Candidates(**(held | {"layout": Layout(**held["layout"])})) if held else None
        return cls(tuple(tree["metrics"]), tuple(tree["slices"]), candidates)
