"""Measures a model on held-out rows, whatever trained it."""

from __future__ import annotations

import keras
import numpy as np

from trainer.data.pairs import Pairs, TrainingPairs
from trainer.judge import Judge
from trainer.model.table_sizes import TableSizes
from trainer.search import descent
from trainer.search.measures import Figure, LabelMeasure, of_mean
from trainer.search.space import LABEL_METRICS
from trainer.settings import ModelSettings
from trainer.training import calibration
from trainer.training.alternation import Solver


class Gauge:
    """The metric of the trials of one search.

    Args:
      metric: a metric of labels, or a ranking metric.
      kept: the training rows.
      held: the held-out rows.
      sizes: the sizes of the embedding tables.
      seed: of the samples.
    """

    def __init__(self, metric: str, kept: TrainingPairs, held: Pairs, sizes: TableSizes, seed: int) -> None:
        self._held, self._sizes, self._seed = held, sizes, seed
        self._labels = LabelMeasure(metric, kept, held) if metric in LABEL_METRICS else None
        self._judge = None if self._labels else Judge(metric, kept, held, sizes.entities, sizes.shared, seed)

    @property
    def queries(self) -> int:
        """How many left entities are ranked, 0 for a metric of labels."""
        return len(self._judge) if self._judge else 0

    @property
    def ranks(self) -> bool:
        """Whether the metric is of rankings."""
        return self._judge is not None

    def of_solver(self, solver: Solver, width: int, log_odds: float = 0.0) -> tuple[Figure, float | None]:
        """Returns the figure of the first `width` columns of a solution, and its zero point if it ranks.

        `log_odds` is that of the model, if it was learned from labels.
        """
        left, right = (table[:, :width] for table in solver.tables)
        if self._labels is None:
            return self.of_tables(left, right)
        scores = np.einsum("nd,nd->n", left[self._held.left], right[self._held.right]) + solver.offset
        if solver.biases:
            scores += solver.biases[0][self._held.left] + solver.biases[1][self._held.right]
        return self._labels.figure(scores, log_odds), None

    def of_tables(self, left: np.ndarray, right: np.ndarray) -> tuple[Figure, float]:
        """Returns the figure of a ranking by left and right vectors `[rows, d]`, and its zero point."""
        assert self._judge
        return of_mean(self._judge.per_query(left, right)), self._zero_point(left, right)

    def of_network(self, network: keras.Model, model: ModelSettings) -> Figure:
        """Returns the figure of a trained network."""
        if self._labels:
            return self._labels.figure(descent.scores(network, self._held), model.log_odds)
        assert self._judge
        return of_mean(self._judge.per_query(*descent.tables(network, model, self._sizes)))

    def _zero_point(self, left: np.ndarray, right: np.ndarray) -> float:
        some = self._held.sample(np.random.default_rng(self._seed), calibration.PAIRS)
        observed, random = calibration.random_pairs(some.left, some.right, self._seed)
        of_observed, of_random = (
            np.einsum("nd,nd->n", left[rows], right[columns]) for rows, columns in (observed, random)
        )
        return calibration.zero_point(of_observed, of_random, some.weight)
