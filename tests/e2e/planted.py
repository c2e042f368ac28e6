"""Pairs with a planted answer: entities belong to groups, and pairs of the same group score high."""

from __future__ import annotations

import csv
import random
from pathlib import Path

GROUPS = 4
LEFT, RIGHT = 60, 40
SAME, OTHER, NOISE = 2.0, -1.0, 0.1


def left_id(i: int) -> str:
    return f"left {i:02d}"


def right_id(j: int) -> str:
    return f"right-{j:02d} é"


def same_group_right_ids(i: int) -> set[str]:
    return {right_id(j) for j in range(RIGHT) if j % GROUPS == i % GROUPS}


def write_pairs(path: Path, seed: int = 7) -> None:
    """Returns nine tenths of all pairs, in random order, with a little noise on each score, and one bad row."""
    draw = random.Random(seed)
    pairs = [(i, j) for i in range(LEFT) for j in range(RIGHT) if draw.random() < 0.9]
    draw.shuffle(pairs)
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["who", "what", "liking"])
        for i, j in pairs:
            mean = SAME if i % GROUPS == j % GROUPS else OTHER
            rows.writerow([left_id(i), right_id(j), f"{draw.gauss(mean, NOISE):.4f}"])
        rows.writerow([left_id(0), right_id(0), "a lot"])


PIPELINE = """
name: planted
data:
  path: pairs.csv
  columns: {left: who, right: what, score: liking}
model: {dimension: 8, regularization: 0.0}
train: {epochs: 60, batch_size: 256, optimizer: adam, learning_rate: 0.02}
evaluate:
  bless:
    - {metric: rmse, better_than: baseline, margin: 0.5}
    - {metric: rmse, better_than: last_blessed, margin: -0.2}
"""


POSITIVES = """
name: positives
data:
  path: positives.csv
  columns: {left: who, right: what}
model: {dimension: 8, objective: softmax, regularization: 0.0}
train: {epochs: 40, batch_size: 256, optimizer: adam, learning_rate: 0.02}
evaluate:
  bless:
    - {metric: recall@10, above: 0.1}
    - {metric: ndcg@10, better_than: last_blessed, margin: -0.15}
    - {metric: hit_rate@10, slice: left_tail, above: 0.01}
"""


def write_positives(folder: Path, seed: int = 7) -> Path:
    """Writes a pipeline file and its data to `folder`: three quarters of the pairs within groups, without a score."""
    draw = random.Random(seed)
    with (folder / "positives.csv").open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["who", "what"])
        pairs = [(i, j) for i in range(LEFT) for j in range(RIGHT) if i % GROUPS == j % GROUPS]
        rows.writerows((left_id(i), right_id(j)) for i, j in pairs if draw.random() < 0.75)
    config = folder / "pipeline.yaml"
    config.write_text(POSITIVES, encoding="utf-8")
    return config


def write_pipeline(folder: Path) -> Path:
    """Writes a pipeline file and its data to `folder`."""
    write_pairs(folder / "pairs.csv")
    config = folder / "pipeline.yaml"
    config.write_text(PIPELINE, encoding="utf-8")
    return config
