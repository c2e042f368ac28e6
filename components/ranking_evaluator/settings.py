"""Settings of RankingEvaluator."""

from __future__ import annotations

from components.pair_example_gen.settings import PairFiles
from sections import Section


class Candidates(PairFiles):
    """A file of candidate pairs: the right entities to rank for each left one. `fingerprint` changes with the file."""

    fingerprint: str


class RankingSettings(Section):
    """The metrics, the slices, and the candidates of the sampled protocol (optional)."""

    metrics: tuple[str, ...]
    slices: tuple[str, ...]
    candidates: Candidates | None = None
