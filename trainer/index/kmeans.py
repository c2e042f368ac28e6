"""k-means in NumPy, on rows that are made when they are needed. All steps are repeatable."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

# Returns the vectors of rows, float32 `[m, d]`. Rows are int64 `[m]`.
Points = Callable[[np.ndarray], np.ndarray]

_ITERATIONS = 4
# Points that the centers are fitted on, for each center.
_SAMPLE = 20
# From so many centers on, a point is compared with the centers near its cell. A cell sees this share of the centers.
_MANY, _SEEN = 256, 0.3
# Distances that are computed at a time.
_AT_A_TIME = 1 << 22


def clusters(points: Points, rows: np.ndarray, count: int, random: np.random.Generator) -> list[np.ndarray]:
    """Splits rows into at most `count` clusters by Lloyd's algorithm (Lloyd 1982), fitted on a sample.

    Args:
      points: the vectors of rows.
      rows: int64 `[m]`.
      count: the number of centers.
      random: draws the sample and the first centers.

    Returns:
      The rows of each cluster, in the order of `rows`. No cluster is empty.
    """
    if count <= 1 or len(rows) <= 1:
        return [rows]
    sample = points(rows[np.sort(random.permutation(len(rows))[: _SAMPLE * count])])
    centers = sample[np.sort(random.permutation(len(sample))[:count])]
    for _ in range(_ITERATIONS):
        centers = _means(sample, _closest(sample, centers), centers)
    closest = _closest_of_many(points, rows, centers, random) if count >= _MANY else _of_rows(points, rows, centers)
    return [group for group in _groups(rows, closest) if len(group)]


def _of_rows(points: Points, rows: np.ndarray, centers: np.ndarray) -> np.ndarray:
    """Returns the closest center of each row, int64 `[m]`. Makes a part of the vectors at a time."""
    step = max(_AT_A_TIME // len(centers), 1)
    parts = (points(rows[start : start + step]) for start in range(0, len(rows), step))
    return np.concatenate([_closest(part, centers) for part in parts])


def _closest_of_many(points: Points, rows: np.ndarray, centers: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Returns the closest center of each row, or nearly so, int64 `[m]`.

    Clusters of the centers are cells. A row is compared with the centers of its cell, and with those of other cells
    that are nearly as close to the middle of this one.
    """
    cells = clusters(lambda at: centers[at], np.arange(len(centers)), round(math.sqrt(len(centers))), random)
    middles = np.stack([centers[cell].mean(axis=0) for cell in cells])
    distances = np.einsum("md,md->m", middles, middles)[:, None] - 2 * middles @ centers.T
    further = distances - distances.min(axis=0)
    seen = np.argsort(further, axis=1, kind="stable")[:, : math.ceil(_SEEN * len(centers))]
    closest = np.empty(len(rows), np.int64)
    cell_of = _of_rows(points, rows, middles)
    for cell, places in enumerate(_groups(np.arange(len(rows)), cell_of)):
        if len(places):
            closest[places] = seen[cell][_of_rows(points, rows[places], centers[seen[cell]])]
    return closest


def _closest(vectors: np.ndarray, centers: np.ndarray) -> np.ndarray:
    """Returns the closest center of each vector, int64 `[m]`."""
    half = 0.5 * np.einsum("cd,cd->c", centers, centers)
    step = max(_AT_A_TIME // len(centers), 1)
    parts = (vectors[start : start + step] for start in range(0, len(vectors), step))
    return np.concatenate([np.argmax(part @ centers.T - half, axis=1) for part in parts])


def _means(vectors: np.ndarray, center: np.ndarray, centers: np.ndarray) -> np.ndarray:
    """Returns the mean of the vectors of each center. A center without vectors stays where it is."""
    counts = np.bincount(center, minlength=len(centers))
    used = counts > 0
    starts = (np.cumsum(counts) - counts)[used]
    moved = centers.copy()
    moved[used] = np.add.reduceat(vectors[np.argsort(center, kind="stable")], starts) / counts[used, None]
    return moved


def _groups(rows: np.ndarray, group: np.ndarray) -> list[np.ndarray]:
    order = np.argsort(group, kind="stable")
    return np.split(rows[order], np.cumsum(np.bincount(group))[:-1])
