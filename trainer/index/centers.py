"""What a query is compared with to choose the blocks that a ranking reads."""

from __future__ import annotations

import dataclasses

import numpy as np

from trainer.index.blocks import Blocks

# The best row of a block lies above the mean of the block by about this many standard deviations.
_DEVIATIONS = 3.0


@dataclasses.dataclass(frozen=True)
class Candidates:
    """The candidates of a ranking: score = dot(query, vector) * scale + bias.

    Attributes:
      vectors: float32 `[rows, d]`.
      scale: float32 `[rows]`, such as the inverse lengths for a cosine. None means 1.
      bias: float32 `[rows]`. None means 0.
    """

    vectors: np.ndarray
    scale: np.ndarray | None = None
    bias: np.ndarray | None = None

    def scores(self, queries: np.ndarray, rows: np.ndarray | slice = slice(None)) -> np.ndarray:
        """Returns the scores `[q, m]` of `m` rows for queries `[q, d]`."""
        scores = queries @ self.vectors[rows].T
        if self.scale is not None:
            scores *= self.scale[rows]
        return scores if self.bias is None else np.add(scores, self.bias[rows], out=scores)


@dataclasses.dataclass(frozen=True)
class Moments:
    """Means over the rows of each part of the candidates.

    Attributes:
      means: of the vectors, the biases and the squared lengths, float64 `[parts, d + 2]`.
      sizes: number of rows, int64 `[parts]`.
    """

    means: np.ndarray
    sizes: np.ndarray

    @classmethod
    def of(cls, blocks: Blocks, candidates: Candidates) -> Moments:
        """Returns the means of the blocks of `candidates`."""
        vectors, scale, bias = candidates.vectors, candidates.scale, candidates.bias
        squares = np.einsum("nd,nd->n", vectors, vectors)
        if scale is not None:
            squares = squares * scale**2
        none = np.zeros(len(blocks))
        columns = none if bias is None else blocks.means(bias), blocks.means(squares)
        return cls(np.column_stack([blocks.means(vectors, scale), *columns]), blocks.sizes)

    def of_runs(self, firsts: np.ndarray) -> Moments:
        """Returns the means of runs of parts. `firsts` has the first part of each run, int64 `[runs]`."""
        sizes = np.add.reduceat(self.sizes, firsts)
        return Moments(np.add.reduceat(self.means * self.sizes[:, None], firsts) / sizes[:, None], sizes)


@dataclasses.dataclass(frozen=True)
class Centers:
    """An estimate of the best score of each part: dot(query, mean) + bias + length(query) * spread.

    Attributes:
      rows: mean vector, mean bias and spread of each part, float32 `[parts, d + 2]`. The spread is `_DEVIATIONS`
        standard deviations of the vectors of a part along one direction.
    """

    rows: np.ndarray

    @classmethod
    def of(cls, moments: Moments) -> Centers:
        """Describes the parts of candidates."""
        means, squares = moments.means[:, :-2], moments.means[:, -1]
        variance = squares - np.einsum("bd,bd->b", means, means)
        spread = _DEVIATIONS * np.sqrt(np.maximum(variance, 0) / max(means.shape[1], 1))
        return cls(np.column_stack([moments.means[:, :-1], spread]).astype(np.float32))

    def scores(self, queries: np.ndarray) -> np.ndarray:
        """Returns the estimates `[q, parts]` for queries `[q, d]`."""
        lengths = np.linalg.norm(queries, axis=1, keepdims=True)
        return np.concatenate([queries, np.ones_like(lengths), lengths], axis=1) @ self.rows.T
