"""Least squares over all pairs, for data with only positives: iALS."""

from __future__ import annotations

import numpy as np

from trainer.data.pairs import Pairs
from trainer.least_squares.interactions import BLOCK_NUMBERS, EntityBlock, Interactions, in_parallel
from trainer.least_squares.subspaces import gramian, orthonormal
from trainer.model.table_sizes import TableSizes
from trainer.settings import AlsSettings, ModelSettings

# Pairs that are scored at a time.
_PAIRS = 1 << 18
_SUBSPACE_ITERATIONS = 2
# The initial length of a right row, about that of a row of a solution.
_FIRST_LENGTH = 0.5
# The smallest number on the diagonal of a system, relative to the largest eigenvalue of the Gramian.
_LEAST_EIGENVALUE = 1e-7


class ImplicitAls:
    """Alternating least squares over every pair of entities, seen or not (Hu, Koren & Volinsky 2008).

        loss = sum over seen pairs of w (1 - p.q)^2 + w0 sum over all pairs of (p.q)^2
               + sum over the entities of either side of lambda_e |row|^2

    Here w is the weight of a pair, w0 is `model.unobserved_weight`, and lambda_e = strength (n_e + w0 m)^nu, scaled so
    that its mean over a side is that of nu = 1. n_e is the summed weight of the entity's pairs, m the number of
    entities of the other side, and nu `train.als.frequency_exponent` (Rendle, Krichene, Zhang & Koren 2021, "Revisiting
    the performance of iALS", equations 1, 2 and 11). With the other side fixed, each row is the solution of

        (sum over its pairs of w q q' + w0 Q'Q + lambda I) p = sum over its pairs of w q

    The sum over all pairs is the Gramian of the other table, computed once per sweep. In the basis of its eigenvectors,
    it is diagonal together with lambda I. So the system of an entity with n < d pairs has the form (B'B + D) p = B'r,
    with B `[n, d]` and a diagonal D, and its solution is p = D^-1 B' (I + B D^-1 B')^-1 r (the push-through identity:
    Petersen & Pedersen 2012, "The matrix cookbook", section 3.2.5). This is a system of n equations instead of d. A
    sweep costs O(n d m + m^3) for each entity, where m is the smaller of n and d.
    """

    def __init__(self, pairs: Pairs, sizes: TableSizes, model: ModelSettings, als: AlsSettings, seed: int) -> None:
        shape = (sizes.left, sizes.right)
        self._strength, self._exponent = model.regularization, als.frequency_exponent
        self._unobserved = model.unobserved_weight
        self._sides = Interactions.of_sides(pairs, shape)
        self._weight = float(self._sides[0].counts.sum())
        # The first sweep solves for the left rows and does not read their initial values.
        first = pairs.once(
            ("first rows of ials", shape, model.dimension, seed),
            lambda: _first_rows(self._sides, model.dimension, seed),
        )
        self.tables = [np.zeros((sizes.left, model.dimension), np.float32), first.copy()]

    biases = None
    offset = 0.0

    def start_from(self, tables: list[np.ndarray]) -> None:
        """Starts from left and right vectors `[rows, d]` instead of the initial ones."""
        for mine, given in zip(self.tables, tables, strict=True):
            mine[...] = given

    @property
    def state(self) -> list[np.ndarray]:
        """Everything that determines the next sweep: both tables, float32 `[rows, d]`."""
        return self.tables

    def sweep(self) -> dict[str, float]:
        """Solves for every left row, then for every right row.

        Returns:
          `loss` as in `measure`, for the training pairs. It needs no extra pass. For rows x that solve N x = t, the
            loss of the seen pairs plus that of the Gramian is the weight of the pairs minus the sum over the rows of
            x.t + lambda |x|^2.
        """
        self._solve(0)
        return {"loss": 1 - self._solve(1) / self._weight}

    def measure(self, pairs: Pairs) -> dict[str, float]:
        """Measures some pairs.

        Returns:
          `loss`, the mean over `pairs` of w (1 - p.q)^2 plus the loss of all pairs per training pair.
        """
        left, right = self.tables
        errors = weights = 0.0
        for part in pairs.in_order(_PAIRS):
            weight = np.ones(len(part), np.float32) if part.weight is None else part.weight
            scores = np.einsum("nd,nd->n", left[part.left], right[part.right])
            errors += float(weight @ (1 - scores) ** 2)
            weights += float(weight.sum())
        everywhere = float(np.sum(gramian(left) * gramian(right)))
        return {"loss": errors / weights + self._unobserved * everywhere / self._weight}

    def _solve(self, own: int) -> float:
        """Solves for every row of a side. Returns the sum of x.t + lambda |x|^2 over its rows."""
        side, table, others = self._sides[own], self.tables[own], self.tables[1 - own]
        everywhere, basis = np.linalg.eigh(self._unobserved * gramian(others))
        least = max(everywhere[-1] * _LEAST_EIGENVALUE, np.finfo(np.float32).tiny)
        basis = basis.astype(np.float32)
        rotated = others @ basis
        penalties = self._penalties(side, int((self._sides[1 - own].counts > 0).sum()))
        explained = np.zeros(len(table))

        def solve(block: EntityBlock) -> None:
            penalty = penalties[block.entities][:, None]
            diagonal = np.maximum(everywhere + penalty, least).astype(np.float32)
            few = block.others.shape[1] < table.shape[1]
            rows, products = (_solved_by_pairs if few else _solved_by_numbers)(block, rotated, diagonal)
            table[block.entities] = rows @ basis.T
            explained[block.entities] = products + penalty[:, 0] * np.square(rows).sum(axis=1)

        in_parallel(solve, side.blocks(table.shape[1]))
        return float(explained.sum())

    def _penalties(self, side: Interactions, others: int) -> np.ndarray:
        """Returns lambda of each entity, float32 `[entities]`."""
        touched = side.counts > 0
        frequency = side.counts + self._unobserved * others
        scaled = frequency**self._exponent
        scaled *= frequency[touched].sum() / scaled[touched].sum()
        return (self._strength * scaled).astype(np.float32)


def _solved_by_pairs(block: EntityBlock, others: np.ndarray, diagonal: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Solves (sum of w q q' + diag) x = sum of w q = t by a system of one equation for each pair of an entity.

    Args:
      block: the entities and their pairs.
      others: the table of the other side, float32 `[others, d]`.
      diagonal: float32 `[b, d]`.

    Returns:
      x, float32 `[b, d]`, and x.t, `[b]`.
    """
    root = np.sqrt(block.weight)
    rows = others[block.others]  # [b, l, d]
    rows *= root[:, :, None]
    scaled = rows / diagonal[:, None, :]
    system = np.matmul(scaled, rows.transpose(0, 2, 1))
    system.reshape(len(system), -1)[:, :: system.shape[1] + 1] += 1
    errors = np.linalg.solve(system, root[:, :, None])[:, :, 0]  # the root of w, times 1 - q.x
    found = np.matmul(errors[:, None, :], scaled)[:, 0]
    return found, np.einsum("bl,bl->b", root, root - errors)


def _solved_by_numbers(block: EntityBlock, others: np.ndarray, diagonal: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Solves the same by a system of one equation for each number of a row. See `_solved_by_pairs`."""
    d = others.shape[1]
    normal, targets = np.zeros((len(diagonal), d, d), np.float32), np.zeros((len(diagonal), d, 1), np.float32)
    for start in range(0, block.others.shape[1], max(BLOCK_NUMBERS // d, 1)):
        part = slice(start, start + max(BLOCK_NUMBERS // d, 1))
        root = np.sqrt(block.weight[:, part])[:, :, None]
        rows = others[block.others[:, part]]
        rows *= root
        normal += np.matmul(rows.transpose(0, 2, 1), rows)
        targets += np.matmul(rows.transpose(0, 2, 1), root)
    normal.reshape(len(normal), -1)[:, :: d + 1] += diagonal
    found = np.linalg.solve(normal, targets)[:, :, 0]
    return found, np.einsum("bd,bd->b", found, targets[:, :, 0])


def _first_rows(sides: tuple[Interactions, Interactions], dimension: int, seed: int) -> np.ndarray:
    """Returns initial right rows, float32 `[rows, d]`.

    They are approximately the leading right singular directions of the pairs, by subspace iteration from random rows
    (Halko, Martinsson & Tropp 2011, algorithm 4.4). The pairs are divided by the square roots of the counts of both
    entities, as in spectral clustering (Dhillon 2001). One sweep from these rows is as good as three from random rows.
    """
    (left, right), matrix = (
        (np.sqrt(np.where(side.counts > 0, side.counts, 1)).astype(np.float32) for side in sides),
        sides[0].matrix,
    )
    random = np.random.default_rng(seed).standard_normal((matrix.shape[1], dimension), dtype=np.float32)
    rows = random
    for _ in range(_SUBSPACE_ITERATIONS):
        rows = matrix.T @ ((matrix @ (rows / right[:, None])) / left[:, None] ** 2)
        rows = orthonormal(rows / right[:, None])
    # Pairs of fewer directions than columns leave columns empty. They stay random, because a sweep keeps zeros.
    rows = np.where(rows.any(axis=0), rows, random / np.sqrt(np.float32(max(len(rows), 1))))
    found = rows * right[:, None]
    lengths = np.sqrt(np.square(found).sum(axis=1)[sides[1].counts > 0].mean())
    return found * np.float32(_FIRST_LENGTH / max(lengths, 1e-12))
