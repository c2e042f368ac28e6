"""The sum of two models of positives with different errors, which is one model of the same form."""

from __future__ import annotations

import numpy as np

from trainer.data.pairs import Pairs
from trainer.least_squares.implicit_als import ImplicitAls
from trainer.least_squares.spectral import ENOUGH_SWEEPS, Spectral
from trainer.model.table_sizes import TableSizes
from trainer.settings import AlsSettings, ModelSettings

# How much the scores of the spectral model count, relative to the others, where both have the same mean on positives.
_SHARE = 0.4
_PAIRS = 50_000


class Blend:
    """Adds the scores of `ImplicitAls` and of `Spectral`, each with half of the dimensions.

    Both solve least squares over all pairs, with weights of different kinds, so that their errors differ and their sum
    ranks better than each of them (a linear blend, Jahrer, Toscher & Legenstein 2010). The sum of two dot products is
    the dot product of concatenated vectors.
    """

    def __init__(self, pairs: Pairs, sizes: TableSizes, model: ModelSettings, als: AlsSettings, seed: int) -> None:
        half = model.dimension // 2
        self._ials = ImplicitAls(pairs, sizes, model.replace(dimension=model.dimension - half), als, seed)
        self._spectral = Spectral(pairs, sizes, model.replace(dimension=half), als, seed) if half else None
        self._some = sample_of(pairs, seed)
        self._split = model.dimension - half
        self._started = np.zeros(1)

    biases = None
    offset = 0.0

    def start_from(self, tables: list[np.ndarray]) -> None:
        """Starts from left and right vectors `[rows, d]`."""
        self._ials.start_from([table[:, : self._split] for table in tables])
        if self._spectral:
            self._spectral.start_from([table[:, self._split :] for table in tables])

    @property
    def state(self) -> list[np.ndarray]:
        """Everything that determines the next sweep, and the tables of both models."""
        return [self._started, *self._ials.state, *(self._spectral.state if self._spectral else [])]

    @property
    def tables(self) -> list[np.ndarray]:
        """Left and right vectors, float32 `[rows, d]`: those of `ImplicitAls`, then those of `Spectral`."""
        if not self._spectral:
            return self._ials.tables
        return blended(self._ials.tables, self._spectral.tables, self._some)

    def sweep(self) -> dict[str, float]:
        """Runs a sweep of `ImplicitAls`, the first time after those of `Spectral`. Returns its `loss`."""
        if self._spectral and not self._started:
            for _ in range(ENOUGH_SWEEPS):
                self._spectral.sweep()
        self._started[:] = 1
        return self._ials.sweep()

    def measure(self, pairs: Pairs) -> dict[str, float]:
        """Returns the `loss` of `ImplicitAls`."""
        return self._ials.measure(pairs)


def sample_of(pairs: Pairs, seed: int) -> Pairs:
    """Returns random pairs, enough to compare the scales of two models."""
    return pairs.take(np.random.default_rng(seed).permutation(len(pairs))[:_PAIRS])


def blended(ials: list[np.ndarray], spectral: list[np.ndarray], some: Pairs) -> list[np.ndarray]:
    """Returns left and right vectors `[rows, d]` of the sum of both models.

    Args:
      ials: left and right vectors of `ImplicitAls`.
      spectral: left and right vectors of `Spectral`.
      some: a sample of the pairs.
    """
    of_ials, of_spectral = (_mean_score(tables, some) for tables in (ials, spectral))
    scale = np.float32(max(_SHARE * of_ials / max(of_spectral, 1e-12), 0) ** 0.5)
    return [np.concatenate([one, scale * other], axis=1) for one, other in zip(ials, spectral, strict=True)]


def _mean_score(tables: list[np.ndarray], some: Pairs) -> float:
    left, right = tables
    return float(np.einsum("nd,nd->n", left[some.left], right[some.right]).mean(dtype=np.float64))
