"""Sparse positives for `benchmarks.time_to_quality`: Gowalla, or planted pairs if the research data are missing."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import research_data
from benchmarks.harness import measured_run
from benchmarks.research_data import Positives

DIMENSION, BATCH, RATE, TEMPERATURE = 64, 2048, 0.005, 0.1
_DEPTH = 20
_LEFTS, _RIGHTS, _GROUPS, _PAIRS = 10_000, 12_000, 60, 20


def sparse_positives() -> tuple[Positives, float]:
    """Returns pairs, and the recall@20 that a training must reach."""
    return (research_data.gowalla(), 0.10) if os.environ.get(research_data.VARIABLE) else (planted_groups(), 0.40)


def planted_groups(lefts: int = _LEFTS, rights: int = _RIGHTS, groups: int = _GROUPS, seed: int = 1) -> Positives:
    """Returns pairs of entities that mostly share a group. Right entities of a group follow a Zipf distribution.

    Args:
      lefts: number of left entities. Each has `_PAIRS` draws, of which every fifth is a test pair.
      rights: number of right entities.
      groups: number of groups. Entity e is in group e modulo groups.
      seed: of the draws.
    """
    random = np.random.default_rng(seed)
    left = np.repeat(np.arange(lefts, dtype=np.int32), _PAIRS)
    share = 1 / np.arange(1, rights // groups + 1)
    rank = random.choice(len(share), len(left), p=share / share.sum())
    group = np.where(random.random(len(left)) < 0.9, left % groups, random.integers(0, groups, len(left)))
    pairs = np.unique(np.stack([left, (rank * groups + group).astype(np.int32)], axis=1), axis=0)
    random.shuffle(pairs)
    held = len(pairs) // 5
    return Positives(pairs[held:], pairs[:held])


def recall(data: Positives, left: np.ndarray, right: np.ndarray) -> float:
    """Returns the mean recall@20 of test pairs in a ranking of all right entities without the training pairs.

    Args:
      data: the pairs.
      left: float32 `[lefts, d]`.
      right: float32 `[rights, d]`.
    """
    from trainer.ranking import ranking_metrics
    from trainer.ranking.lists import Lists
    from trainer.ranking.ranks import rank_catalogue

    relevant, seen = (Lists.of_pairs(pairs[:, 0], pairs[:, 1], len(left)) for pairs in (data.test, data.train))
    ranking = rank_catalogue(left, right, relevant, seen, depth=_DEPTH)
    return float(ranking_metrics.per_query(ranking, f"recall@{_DEPTH}").mean())


def bare_keras(data: Positives, file: Path) -> Callable[[int], tuple[float, float]]:
    """Returns a training of `benchmarks.bare_softmax` in a separate process."""
    np.savez(file, left=data.train[:, 0], right=data.train[:, 1], sizes=np.array(data.sizes))

    def run(epochs: int) -> tuple[float, float]:
        run: dict[str, Any] = measured_run("bare_softmax", str(file), str(epochs))
        with np.load(file.with_suffix(".tables.npz")) as tables:
            return float(run["seconds"]), recall(data, tables["left"], tables["right"])

    return run


def report(seconds: float) -> str:
    """Returns the last line of a measured training."""
    return json.dumps({"seconds": seconds})
