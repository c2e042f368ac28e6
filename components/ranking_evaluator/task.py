"""The ranking task, in numbers that do not depend on a model, and the rankers that solve it."""

from __future__ import annotations

import dataclasses

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from components.coded_pairs import CodedPairs
from components.pair_example_gen.reading import chunks
from components.ranking_evaluator.settings import Candidates
from kindred import progress
from trainer.export.tables import Tables
from trainer.ranking.blocks import QUERIES
from trainer.ranking.lists import Lists
from trainer.ranking.ranks import Ranking, rank_candidates, rank_catalogue


@dataclasses.dataclass(frozen=True)
class Task:
    """The left entities with held-out positives. All lists contain indices of right ids.

    Attributes:
      left: index of each query among all left ids, int64 `[q]`.
      relevant: held-out positives of each query.
      seen: training pairs of each query, and the query itself if both sides are one table. No model may list them.
      candidates: given candidates of each query.
    """

    left: np.ndarray
    relevant: Lists
    seen: Lists
    candidates: Lists | None = None

    @classmethod
    def of(cls, pairs: CodedPairs, center: float, candidates: Candidates | None, shared: bool = False) -> Task:
        """Builds the task. Positives are the eval pairs above `center`, or all eval pairs where pairs have no score.

        Args:
          pairs: both splits.
          center: of the scores.
          candidates: the file of the candidates of the sampled protocol.
          shared: whether both sides are one table. Then a query is not a candidate.
        """
        held_out = pairs.eval if pairs.eval.score is None else pairs.eval.take(pairs.eval.score > center)
        everyone = len(pairs.left_ids)
        query, itself = _themselves(pairs) if shared else (pairs.train.left[:0], pairs.train.right[:0])
        seen = Lists.of_pairs(
            np.concatenate([pairs.train.left, query]), np.concatenate([pairs.train.right, itself]), everyone
        )
        relevant = Lists.of_pairs(held_out.left, held_out.right, everyone).without(seen)
        left = np.flatnonzero(relevant.counts)
        among = _read(candidates, pairs).without(Lists.of_pairs(query, itself, everyone)) if candidates else None
        return cls(left, relevant.take(left), seen.take(left), among.take(left) if among else None)


@dataclasses.dataclass(frozen=True)
class Ranker:
    """A model for ranking: score = dot(query, catalogue row) + bias.

    Attributes:
      queries: float32 `[q, d]`.
      catalogue: float32 `[c, d]`.
      bias: float32 `[c]`.
      row: catalogue row of each right id, int64 `[right ids]`, or -1 if it has none.
    """

    queries: np.ndarray
    catalogue: np.ndarray
    bias: np.ndarray
    row: np.ndarray

    def rank(self, task: Task, depth: int | None) -> Ranking:
        """Ranks the whole catalogue. Positives outside the catalogue count as not found."""
        relevant, seen = self._rows(task.relevant), self._rows(task.seen)
        with progress.counted(QUERIES, len(self.queries)):
            ranking = rank_catalogue(self.queries, self.catalogue, relevant, seen, depth, self.bias)
        return dataclasses.replace(ranking, relevant=task.relevant.counts)

    def rank_candidates(self, task: Task) -> Ranking:
        """Ranks the given candidates."""
        assert task.candidates is not None, "the sampled protocol needs candidates"
        relevant, candidates = self._rows(task.relevant), self._rows(task.candidates)
        ranking = rank_candidates(self.queries, self.catalogue, relevant, candidates, self.bias)
        return dataclasses.replace(ranking, relevant=task.relevant.counts)

    def _rows(self, lists: Lists) -> Lists:
        owners, rows = lists.owners, self.row[lists.rows]
        return Lists.of_pairs(owners[rows >= 0], rows[rows >= 0], len(lists))


def of_tables(tables: Tables, pairs: CodedPairs, task: Task) -> Ranker:
    """Returns the ranker of a published model. It lists the same entities as the model's `similar_right`."""
    return Ranker(
        tables.left.vectors_of(pairs.left_ids.take(pa.array(task.left))),
        tables.right.vectors[: tables.right.known],
        tables.right.bias[: tables.right.known],
        tables.right.rows_of(pairs.right_ids),
    )


def of_popularity(pairs: CodedPairs, task: Task) -> Ranker:
    """Returns a ranker by the number of training pairs, or by their summed weight."""
    counts = pairs.weights("right")
    known = np.flatnonzero(counts)
    row = np.full(len(counts), -1, np.int64)
    row[known] = np.arange(len(known))
    nothing = np.zeros((len(known), 1), np.float32)
    return Ranker(np.zeros((len(task.left), 1), np.float32), nothing, counts[known].astype(np.float32), row)


def _read(candidates: Candidates, pairs: CodedPairs) -> Lists:
    """Reads the candidates of each left id. Skips ids without any pair, because no model can rank them."""
    owners, rows = [], []
    for chunk in chunks.cut(0, candidates.path, candidates):
        for raw in chunks.read(chunk, candidates):
            left, right = _places(raw.columns["left"], pairs.left_ids), _places(raw.columns["right"], pairs.right_ids)
            both = (left >= 0) & (right >= 0)
            owners.append(left[both])
            rows.append(right[both])
    nothing = np.zeros(0, np.int64)
    return Lists.of_pairs(np.concatenate([*owners, nothing]), np.concatenate([*rows, nothing]), len(pairs.left_ids))


def _themselves(pairs: CodedPairs) -> tuple[np.ndarray, np.ndarray]:
    """Returns the places of each id that occurs on both sides, among the left and among the right ids."""
    place = _places(pairs.left_ids, pairs.right_ids)
    return np.flatnonzero(place >= 0), place[place >= 0]


def _places(ids: pa.Array, among: pa.Array) -> np.ndarray:
    positions = pc.index_in(ids.cast(among.type), value_set=among).fill_null(-1)
    return np.asarray(positions.to_numpy(zero_copy_only=False).astype(np.int64))
