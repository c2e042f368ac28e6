"""Projects vectors onto a plane with principal component analysis."""

from __future__ import annotations

import dataclasses

import numpy as np

from trainer.ranking.lists import Lists
from trainer.ranking.top_k import top_k


@dataclasses.dataclass(frozen=True)
class Plane:
    """Points on the plane of the first two principal components.

    Attributes:
      places: coordinates of the points, float64 `[n, 2]`.
      shares: share of the variance on each axis, in [0, 1].
    """

    places: np.ndarray
    shares: tuple[float, float]


def project(vectors: np.ndarray) -> Plane:
    """Projects `vectors` `[n, d]` onto their first two principal components (Pearson 1901).

    The direction of an axis is arbitrary. The function makes its largest loading positive, so that equal vectors always
    give equal drawings.
    """
    centred = vectors.astype(np.float64) - vectors.mean(axis=0, dtype=np.float64) if len(vectors) else vectors
    covariance = centred.T @ centred
    variances, axes = np.linalg.eigh(covariance)
    order = np.argsort(variances)[::-1][:2]
    chosen = axes[:, order]
    largest = np.abs(chosen).argmax(axis=0)
    chosen = chosen * np.where(chosen[largest, np.arange(chosen.shape[1])] < 0, -1.0, 1.0)
    total = variances.sum()
    shares = np.clip(variances[order], 0, None) / total if total > 0 else np.zeros(len(order))
    missing = 2 - chosen.shape[1]  # vectors with one component have one axis
    places = np.pad(centred @ chosen, ((0, 0), (0, missing)))
    first, second = np.pad(shares, (0, missing))
    return Plane(places, (float(first), float(second)))


def nearest(vectors: np.ndarray, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Finds the `k` rows of `vectors` `[n, d]` with the highest cosine to each of the rows `queries` `[q]`.

    A query is not its own neighbor.

    Returns:
      Rows int32 and cosines float32, both `[q, k]`, nearest first, ties by row. Missing neighbors have row -1.
    """
    lengths = np.sqrt(np.einsum("nd,nd->n", vectors, vectors))[:, None]
    units = np.divide(vectors, lengths, out=np.zeros(vectors.shape, np.float32), where=lengths > 0)
    itself = Lists(np.arange(len(queries) + 1), queries.astype(np.int32))
    return top_k(units[queries], units, k, seen=itself)
