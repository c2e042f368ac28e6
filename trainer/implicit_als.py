"""Whole-data least squares for pairs that are all positives: iALS."""

from __future__ import annotations

import numpy as np

from trainer.interactions import Block, Interactions, in_parallel
from trainer.model import TableSizes
from trainer.pairs import Pairs
from trainer.settings import AlsSettings, ModelSettings

# Pairs that are scored at a time.
_PAIRS = 1 << 18


class ImplicitAls:
    """Alternating least squares over every pair of entities, seen or not (Hu, Koren & Volinsky 2008).

    loss = sum over seen pairs of w (1 - p.q)^2 + w0 sum over all pairs of (p.q)^2
           + sum over the entities of either side of lambda_e |row|^2

    with w the weight of a pair, w0 `model.unobserved_weight`, and lambda_e = strength (n_e + w0 m)^nu, scaled so that
    the mean over a side is that of nu = 1; n_e is the summed weight of the entity's pairs, m the number of entities of
    the other side, nu `train.als.frequency_exponent` (Rendle, Krichene, Zhang & Koren 2021, "Revisiting the performance
    of iALS", equations 1, 2 and 11). For one side with the other held fixed each row is the solution of

        (sum over its pairs of w q q' + w0 Q'Q + lambda I) p = sum over its pairs of w q

    The sum over all pairs is the Gramian of the other table, once a sweep; a sweep costs O(n d^2 + entities d^3).
    """

    def __init__(self, pairs: Pairs, sizes: TableSizes, model: ModelSettings, als: AlsSettings, seed: int) -> None:
        random = np.random.default_rng(seed)
        deviation = model.initial_scale / model.dimension**0.5
        shape = (sizes.left, sizes.right)
        self._strength, self._exponent = model.regularization, als.frequency_exponent
        self._unobserved = model.unobserved_weight
        self._pairs = pairs
        self._sides = (
            Interactions.of(pairs.left, pairs.right, pairs.weight, shape),
            Interactions.of(pairs.right, pairs.left, pairs.weight, shape[::-1]),
        )
        self._weight = float(self._sides[0].counts.sum())
        self.tables = [
            np.where(
                (side.counts > 0)[:, None],
                random.standard_normal((size, model.dimension), dtype=np.float32) * np.float32(deviation),
                np.float32(0),
            )
            for side, size in zip(self._sides, shape, strict=True)
        ]

    biases = None
    offset = 0.0

    def start_from(self, tables: list[np.ndarray]) -> None:
        """Begins with left and right vectors `[rows, d]` instead of random ones."""
        for mine, given in zip(self.tables, tables, strict=True):
            mine[...] = given

    @property
    def state(self) -> list[np.ndarray]:
        """Everything that decides the next sweep: both tables, float32 `[rows, d]`."""
        return self.tables

    def sweep(self) -> dict[str, float]:
        """Solves for every left row, then for every right row; then what `measure` says of the training pairs."""
        for own in (0, 1):
            self._solve(own)
        return self.measure(self._pairs)

    def measure(self, pairs: Pairs) -> dict[str, float]:
        """`loss`: the mean over `pairs` of w (1 - p.q)^2, and the loss of all pairs for each training pair."""
        left, right = self.tables
        errors = weights = 0.0
        for part in pairs.in_order(_PAIRS):
            weight = np.ones(len(part), np.float32) if part.weight is None else part.weight
            scores = np.einsum("nd,nd->n", left[part.left], right[part.right])
            errors += float(weight @ (1 - scores) ** 2)
            weights += float(weight.sum())
        everywhere = float(np.sum(_gramian(left).astype(np.float64) * _gramian(right)))
        return {"loss": errors / weights + self._unobserved * everywhere / self._weight}

    def _solve(self, own: int) -> None:
        side, table, others = self._sides[own], self.tables[own], self.tables[1 - own]
        everywhere = self._unobserved * _gramian(others)
        penalties = self._penalties(side, int((self._sides[1 - own].counts > 0).sum()))
        identity = np.eye(table.shape[1], dtype=np.float32)

        def solve(block: Block) -> None:
            root = np.sqrt(block.weight)[:, :, None]
            rows = others[block.others] * root  # [b, l, d]
            normal = np.matmul(rows.transpose(0, 2, 1), rows) + everywhere
            normal += penalties[block.entities][:, None, None] * identity
            targets = np.matmul(rows.transpose(0, 2, 1), root)
            table[block.entities] = np.linalg.solve(normal, targets)[:, :, 0]

        in_parallel(solve, side.blocks())

    def _penalties(self, side: Interactions, others: int) -> np.ndarray:
        """lambda of each entity, float32 `[entities]`."""
        touched = side.counts > 0
        frequency = side.counts + self._unobserved * others
        scaled = frequency**self._exponent
        scaled *= frequency[touched].sum() / scaled[touched].sum()
        return (self._strength * scaled).astype(np.float32)


def _gramian(table: np.ndarray) -> np.ndarray:
    """Q'Q of `[rows, d]`, float32 `[d, d]`; added up in pieces of float64, as float32 would lose the small ones."""
    total = np.zeros((table.shape[1],) * 2)
    for start in range(0, len(table), 1 << 16):
        part = table[start : start + (1 << 16)]
        total += part.T @ part
    return total.astype(np.float32)
