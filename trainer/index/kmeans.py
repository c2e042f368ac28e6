"""k-means in NumPy, on rows that are made when they are needed. All steps are repeatable."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

# Returns the vectors of rows, float32 `[m, d]`. Rows are int64 `[m]`.
Points = Callable[[np.ndarray], np.ndarray]

_ITERATIONS = 5
# Points that the centers are fitted on, for each center.
_SAMPLE = 64
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
    step = max(_AT_A_TIME // count, 1)
    parts = (points(rows[start : start + step]) for start in range(0, len(rows), step))
    return [group for group in _groups(rows, np.concatenate([_closest(part, centers) for part in parts])) if len(group)]


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
