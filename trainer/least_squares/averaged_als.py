"""The mean of several least-squares models of the same pairs, which is one model of the same form."""

from __future__ import annotations

import numpy as np

from trainer.data.pairs import Pairs
from trainer.least_squares.logistic_als import LogisticAls
from trainer.least_squares.variational_als import VariationalAls
from trainer.model.table_sizes import TableSizes
from trainer.settings import AlsSettings, ModelSettings


class AveragedAls:
    """Averages the scores of `train.als.copies` models of labels with different initial values.

    A factorization has many solutions of similar quality with different errors, so the mean of their scores is better
    than each of them (bagging without resampling, Breiman 1996, "Bagging predictors", section 4). The mean is a dot
    product of concatenated vectors, each divided by the square root of the number of copies:

        (1 / K) sum of p_k . q_k = (p_1, ..., p_K) / sqrt(K) . (q_1, ..., q_K) / sqrt(K)

    K copies of dimension d / K, rounded to whole numbers, serve at the cost of one model of dimension d and train
    faster.
    """

    def __init__(self, pairs: Pairs, sizes: TableSizes, model: ModelSettings, als: AlsSettings, seed: int) -> None:
        parts = np.array_split(np.arange(model.dimension), min(als.copies, model.dimension))
        seeds = np.random.SeedSequence(seed).generate_state(len(parts)).tolist()
        kind = LogisticAls if model.objective == "logistic" else VariationalAls
        self._copies = [
            kind(pairs, sizes, model.replace(dimension=len(part)), als, one)
            for part, one in zip(parts, seeds, strict=True)
        ]
        self._ends = [int(part[-1]) + 1 for part in parts[:-1]]
        self._pairs = pairs
        self._root = np.float32(len(parts) ** 0.5)

    @property
    def offset(self) -> float:
        """The mean offset of the copies."""
        return float(np.mean([copy.offset for copy in self._copies]))

    def start_from(self, tables: list[np.ndarray]) -> None:
        """Starts from left and right vectors `[rows, d]` instead of random ones."""
        parts = [np.split(table * self._root, self._ends, axis=1) for table in tables]
        for copy, mine in zip(self._copies, zip(*parts, strict=True), strict=True):
            copy.start_from(list(mine))

    @property
    def state(self) -> list[np.ndarray]:
        """The complete state: everything that determines the next sweep, and the tables."""
        return [array for copy in self._copies for array in copy.state]

    @property
    def tables(self) -> list[np.ndarray]:
        """Left and right vectors, float32 `[rows, d]`."""
        sides = zip(*(copy.tables for copy in self._copies), strict=True)
        return [np.concatenate(side, axis=1) / self._root for side in sides]

    @property
    def biases(self) -> list[np.ndarray] | None:
        """Left and right biases, float32 `[rows]`, or None."""
        found = [copy.biases for copy in self._copies]
        sides = zip(*(biases for biases in found if biases is not None), strict=True)
        return [np.stack(side).mean(axis=0, dtype=np.float32) for side in sides] or None

    def sweep(self) -> dict[str, float]:
        """Runs a sweep of each copy. Returns measures of the training pairs."""
        for copy in self._copies:
            copy.sweep()
        return self.measure(self._pairs)

    def measure(self, pairs: Pairs) -> dict[str, float]:
        """Measures the mean scores of some pairs, as a copy does."""
        (left, right), biases = self.tables, self.biases

        def score(part: Pairs) -> np.ndarray:
            scores = np.einsum("nd,nd->n", left[part.left], right[part.right]) + self.offset
            return scores + biases[0][part.left] + biases[1][part.right] if biases else scores

        return self._copies[0].measure_scores(score, pairs)
