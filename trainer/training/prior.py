"""The distribution of the rows of a trained model, as the prior of the rows of unseen entities."""

from __future__ import annotations

import numpy as np

# Entities whose pairs choose how far rows may be from the prior mean, and their pairs at most.
_ENTITIES, _PAIRS = 300, 200
# Rows that are enough for a mean and a covariance.
_ROWS = 1 << 16
# The candidates for the variance of the noise, relative to the variance of what is explained.
_NOISES = 2.0 ** np.arange(-8, 5)


def prior_of(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns mean `[w]` and covariance `[w, w]` of rows `[n, w]`, float64. Of many rows, it uses some at equal steps.

    The covariance is shrunk to a multiple of the identity, the more the fewer rows there are (Ledoit & Wolf 2004, "A
    well-conditioned estimator for large-dimensional covariance matrices", equation 14, with the share w / (w + n)).
    """
    rows = rows[:: max(len(rows) // _ROWS, 1)].astype(np.float64)
    n, width = rows.shape
    if not n:
        return np.zeros(width), np.eye(width)
    mean = rows.mean(axis=0)
    rows -= mean
    covariance = rows.T @ rows / n
    share = width / (width + n)
    level = max(float(np.trace(covariance)) / width, 1e-8)
    # The floor keeps the inverse exact where columns are dependent.
    return mean, (1 - share) * covariance + max(share, 1e-6) * level * np.eye(width)


def noise_of(
    mean: np.ndarray, covariance: np.ndarray, design: np.ndarray, own: np.ndarray, other: np.ndarray, target: np.ndarray
) -> float:
    """Returns the variance of the noise of scores for which rows predict the pairs that they were not computed from.

    For each of some entities, every pair is predicted from its others in closed form (leave-one-out residuals of a
    Gaussian process: Rasmussen & Williams 2006, equation 5.12).

    Args:
      mean: prior mean of a row, `[w]`.
      covariance: prior covariance, `[w, w]`.
      design: rows of the other side, `[others, w]`.
      own: the entity of each pair, int `[n]`.
      other: its partner, int `[n]`.
      target: the score of each pair without the bias of the partner and without offset, `[n]`.
    """
    spread = float(np.var(target)) or 1.0
    several = np.flatnonzero(np.bincount(own) > 1)
    chosen = several[np.linspace(0, len(several) - 1, min(_ENTITIES, len(several))).astype(int)]
    errors = np.zeros(len(_NOISES))
    root = np.linalg.cholesky(covariance)
    for pairs in pairs_of(chosen, own):
        rows = design[other[pairs]].astype(np.float64)
        residuals = target[pairs] - rows @ mean
        # The covariance of the pairs has at most `w` eigenvalues above 0, so its eigenvectors come from a thin matrix.
        vectors, lengths, _ = np.linalg.svd(rows @ root, full_matrices=False)
        turned, squares = vectors.T @ residuals, np.square(vectors)
        for i, noise in enumerate(_NOISES * spread):
            beyond = 1 / (np.square(lengths) + noise) - 1 / noise
            left_out = (vectors @ (beyond * turned) + residuals / noise) / (squares @ beyond + 1 / noise)
            errors[i] += float(np.square(left_out).sum())
    return float(_NOISES[int(np.argmin(errors))] * spread) if len(chosen) else spread


def pairs_of(chosen: np.ndarray, own: np.ndarray) -> list[np.ndarray]:
    """Returns the first pairs of each entity, at most `_PAIRS`.

    Args:
      chosen: entities in ascending order.
      own: the entity of each pair, int `[n]`.
    """
    is_chosen = np.zeros(int(own.max(initial=-1)) + 1, bool)
    is_chosen[chosen] = True
    pairs = np.flatnonzero(is_chosen[own])
    pairs = pairs[np.argsort(own[pairs], kind="stable")]
    starts = np.searchsorted(own[pairs], chosen)
    return [part[:_PAIRS] for part in np.split(pairs, starts[1:])] if len(chosen) else []
