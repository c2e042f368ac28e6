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

    def scores(self, queries: np.ndarray) -> np.ndarray:
        """Returns the scores `[q, rows]` for queries `[q, d]`."""
        scores = queries @ self.vectors.T
        if self.scale is not None:
            scores *= self.scale
        return scores if self.bias is None else np.add(scores, self.bias, out=scores)


@dataclasses.dataclass(frozen=True)
class Centers:
    """An estimate of the best score of each block: dot(query, mean) + bias + length(query) * spread.

    Attributes:
      means: of the vectors of each block, float32 `[blocks, d]`.
      bias: mean bias of each block, float32 `[blocks]`.
      spread: `_DEVIATIONS` standard deviations of the vectors of a block along one direction, float32 `[blocks]`.
    """

    means: np.ndarray
    bias: np.ndarray
    spread: np.ndarray

    @classmethod
    def of(cls, blocks: Blocks, candidates: Candidates) -> Centers:
        """Describes the blocks of `candidates`."""
        vectors, scale = candidates.vectors, candidates.scale
        means = blocks.means(vectors, scale)
        lengths = np.sqrt(np.einsum("nd,nd->n", vectors, vectors)) * (1 if scale is None else scale)
        variance = blocks.means(lengths**2) - np.einsum("bd,bd->b", means, means)
        spread = _DEVIATIONS * np.sqrt(np.maximum(variance, 0) / max(vectors.shape[1], 1))
        none = np.zeros(len(blocks), np.float32)
        bias = none if candidates.bias is None else blocks.means(candidates.bias)
        return cls(means, bias, spread.astype(np.float32))

    def scores(self, queries: np.ndarray) -> np.ndarray:
        """Returns the estimates `[q, blocks]` for queries `[q, d]`."""
        lengths = np.linalg.norm(queries, axis=1, keepdims=True)
        return np.asarray(queries @ self.means.T + self.bias + lengths * self.spread)
