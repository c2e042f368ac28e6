"""Gramians of tall tables, and bases of their columns."""

from __future__ import annotations

import numpy as np
import scipy.linalg

# The smallest eigenvalue of a Gramian that is more than rounding, relative to the largest.
_LEAST_EIGENVALUE = 1e-7


def gramian(table: np.ndarray) -> np.ndarray:
    """Returns Q'Q of `[rows, d]`, float64 `[d, d]`. In float32, the sum would lose small terms."""
    total = np.zeros((table.shape[1],) * 2)
    for start in range(0, len(table), 1 << 16):
        part = table[start : start + (1 << 16)]
        total += part.T @ part
    return total


def orthonormal(rows: np.ndarray) -> np.ndarray:
    """Returns an orthonormal basis of the columns of `[n, k]`, float32. Dependent columns become 0.

    By the eigenvectors of the Gramian, twice: one pass loses digits where singular values differ much (Yamamoto et al.
    2015). Products are much faster than Householder reflections of a tall matrix.
    """
    for _ in range(2):
        values, vectors = scipy.linalg.eigh(gramian(rows))
        real = values > _LEAST_EIGENVALUE * max(float(values[-1]), 1e-300)
        inverse = np.where(real, 1 / np.sqrt(np.where(real, values, 1)), 0)
        rows = rows @ (vectors * inverse).astype(np.float32)
    return rows
