"""Pairs with planted tastes: every entity belongs to a group, and each left entity likes some groups."""

from __future__ import annotations

import csv
import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

FOLDER = Path("build", "tutorials")


@dataclasses.dataclass(frozen=True)
class Tastes:
    """Left entities, right entities in groups, and how much each left entity likes each right one.

    Attributes:
      left: names `[n]`.
      right: names `[m]`, each with the name of its group, such as `comedy-07`.
      likes: float `[n, m]`, about 1 for liked and -1 for disliked, plus a preference of each right entity.
    """

    left: Sequence[str]
    right: Sequence[str]
    likes: np.ndarray


def draw(random: np.random.Generator, left: Sequence[str], groups: Sequence[str], members: int, liked: int) -> Tastes:
    """Draws tastes.

    Args:
      random: the source of all choices.
      left: the names of the left entities.
      groups: the names of the groups.
      members: the number of right entities of each group.
      liked: the number of groups that each left entity likes.
    """
    right = [f"{group}-{number:02}" for group in groups for number in range(1, members + 1)]
    likes = -np.ones((len(left), len(groups)))
    for row in likes:
        row[random.choice(len(groups), liked, replace=False)] = 1
    quality = random.normal(0, 0.3, len(right))
    return Tastes(left, right, np.repeat(likes, members, axis=1) + quality)


def write(name: str, header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Writes a CSV file below `build/tutorials`, and prints its path and size."""
    path = FOLDER / name
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([header, *rows])
    print(f"{path}: {len(rows):,} rows", file=sys.stdout)
