"""The prior mean of the rows of a side, learned from which pairs are there: the implicit terms of SVD++."""

from __future__ import annotations

import numpy as np
import scipy.sparse

# Steps of conjugate gradients in a sweep. They start from the vectors of the sweep before.
_STEPS = 4


class ImplicitPrior:
    """The prior mean of each row of one side: a sum of learned vectors, one for each partner.

        mean of row r = sum over the partners j of r of y_j / sqrt(n_r)

    Which partners an entity has predicts its row, whatever the labels are. These are the implicit terms of SVD++ (Koren
    2008, "Factorization meets the neighborhood", equation 15), here for both sides, and as the mean of a prior instead
    of a separate term (Salakhutdinov & Mnih 2008, "Probabilistic matrix factorization", section 4). So the posterior
    mean of a row includes them, and the score stays a dot product. The vectors minimize

        sum over the rows of |row - mean of row|^2 + ridge sum over the partners of |y_j|^2

    Args:
      partners: sparse `[entities, others]`. Its structure is the pairs, and its values are not read.
      width: numbers of a row.
      ridge: as above.
    """

    def __init__(self, partners: scipy.sparse.csr_matrix, width: int, ridge: float) -> None:
        counts = np.diff(partners.indptr)
        shares = np.repeat(1 / np.sqrt(np.maximum(counts, 1)), counts).astype(np.float32)
        self._shares = scipy.sparse.csr_matrix((shares, partners.indices, partners.indptr), shape=partners.shape)
        self._ridge = np.float32(ridge)
        self.vectors = np.zeros((partners.shape[1], width), np.float32)

    @property
    def means(self) -> np.ndarray:
        """The prior mean of each row, float32 `[entities, width]`."""
        return np.asarray(self._shares @ self.vectors)

    def fit(self, rows: np.ndarray) -> None:
        """Fits the vectors to `rows`, `[entities, width]`, by conjugate gradients (Golub & Van Loan 2013, 11.3.3)."""
        rows = rows.astype(np.float32)
        residuals = self._shares.T @ (rows - self.means) - self._ridge * self.vectors
        directions, lengths = residuals.copy(), np.square(residuals).sum(axis=0)
        for _ in range(_STEPS):
            image = self._shares.T @ (self._shares @ directions) + self._ridge * directions
            steps = lengths / np.maximum((directions * image).sum(axis=0), np.finfo(np.float32).tiny)
            self.vectors += steps * directions
            residuals -= steps * image
            before, lengths = lengths, np.square(residuals).sum(axis=0)
            directions = residuals + lengths / np.maximum(before, np.finfo(np.float32).tiny) * directions
