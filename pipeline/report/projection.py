"""Vectors on a plane: principal components."""

from __future__ import annotations

import dataclasses

import numpy as np

from trainer.ranking.lists import Lists
from trainer.ranking.top_k import top_k


@dataclasses.dataclass(frozen=True)
class Plane:
    """The places of points on the plane on which they are spread most, and the share of their variance it shows."""

    places: np.ndarray  # float64 [n, 2]
    shares: tuple[float, float]  # of the first and the second axis, each in [0, 1]


def project(vectors: np.ndarray) -> Plane:
    """The first two principal components of `vectors` `[n, d]` (Pearson 1901), by the eigenvectors of their covariance.

    The direction of an axis is arbitrary: here the largest of its loadings is positive, so that the same vectors are
    drawn the same way every time.
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
    missing = 2 - chosen.shape[1]  # of vectors with one component
    places = np.pad(centred @ chosen, ((0, 0), (0, missing)))
    first, second = np.pad(shares, (0, missing))
    return Plane(places, (float(first), float(second)))


def nearest(vectors: np.ndarray, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The `k` rows of `vectors` `[n, d]` nearest by cosine to each of the rows `queries` `[q]`, without itself.

    Returns:
      Rows int32 and cosines float32, both `[q, k]`, nearest first; of equal ones the lower row first; row -1 where
      there are no more.
    """
    lengths = np.sqrt(np.einsum("nd,nd->n", vectors, vectors))[:, None]
    units = np.divide(vectors, lengths, out=np.zeros(vectors.shape, np.float32), where=lengths > 0)
    itself = Lists(np.arange(len(queries) + 1), queries.astype(np.int32))
    return top_k(units[queries], units, k, seen=itself)
