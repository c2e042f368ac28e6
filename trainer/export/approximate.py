"""The approximate signatures of a published model."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
import threadpoolctl

from trainer import features
from trainer.export.published_model import Outputs, PublishedModel
from trainer.export.shared_functions import called
from trainer.export.side_index import SideIndex, Space
from trainer.export.sides import SideVariables, first_of
from trainer.index.calibration import Probes, exact_from, sampled
from trainer.index.facts import IndexFacts
from trainer.settings import APPROXIMATE_FROM, Approximate

SUFFIX = "_approximate"
PROBES = "probes"
# The value of `probes` for the number of blocks that the export chose.
DEFAULT = 0


def is_wanted(approximate: Approximate, model: PublishedModel) -> bool:
    """Whether a model gets approximate signatures. `auto` gives them to models with many known entities of a side."""
    if approximate == "auto":
        return max(model.left.count, model.right.count) >= APPROXIMATE_FROM
    return approximate


class _Ranking(NamedTuple):
    """A ranking of a model.

    Attributes:
      exact: the exact signature. Takes ids string `[n]` and `k`.
      id_name: the name of its input.
      asked: the side of the queries.
      rows_of: returns the table rows of ids of that side.
      index: of the candidates.
      space: how they are ranked.
    """

    exact: Callable[[tf.Tensor, tf.Tensor], Outputs]
    id_name: str
    asked: SideVariables
    rows_of: Callable[[tf.Tensor], tf.Tensor]
    index: SideIndex
    space: Space

    @property
    def lists_own_table(self) -> bool:
        """Whether queries are in the table of the candidates. A query is no answer."""
        return self.asked.vectors is self.index.side.vectors

    def calibrated(self) -> Probes:
        """Chooses the default number of blocks, for known entities."""
        rows = sampled(self.asked.count)
        queries = tf.gather(self.asked.vectors, rows).numpy()
        if self.space.is_cosine:
            queries *= tf.gather(self.asked.inverse_lengths, rows).numpy()[:, None]
        return self.space.calibrate(self.index.parts, queries, rows if self.lists_own_table else None)


class ApproximateRankings(tf.Module):
    """The index of both sides of a model, and the signatures that use it.

    Args:
      model: the published model.
      exact: its exact signatures by name.
    """

    def __init__(self, model: PublishedModel, exact: Mapping[str, Any]) -> None:
        super().__init__(name="approximate")
        started = time.monotonic()
        self._offset = model.offset
        # Each product is made by one thread. BLAS with several takes three to five times the processor time for it.
        with threadpoolctl.threadpool_limits(1, "blas"), ThreadPoolExecutor() as threads:
            self.left, self.right = threads.map(SideIndex, (model.left, model.right))
            self._rankings = self._ways(model, exact)
            self._probes = dict(
                zip(self._rankings, threads.map(_Ranking.calibrated, self._rankings.values()), strict=True)
            )
        self.facts = IndexFacts(
            seconds=round(time.monotonic() - started, 3),
            blocks={"left": len(self.left.parts.blocks), "right": len(self.right.parts.blocks)},
            signatures={f"{name}{SUFFIX}": probes for name, probes in self._probes.items()},
        )

    def _ways(self, model: PublishedModel, exact: Mapping[str, Any]) -> dict[str, _Ranking]:
        left = features.LEFT_ID, model.left, model.left_rows
        right = features.RIGHT_ID, model.right, model.right_rows
        return {
            "similar_right": _Ranking(called(exact["similar_right"]), *left, self.right, self.right.by_score),
            "similar_left": _Ranking(called(exact["similar_left"]), *right, self.left, self.left.by_score),
            "neighbors_left": _Ranking(called(exact["neighbors_left"]), *left, self.left, self.left.by_cosine),
            "neighbors_right": _Ranking(called(exact["neighbors_right"]), *right, self.right, self.right.by_cosine),
        }

    def signatures(self) -> dict[str, Any]:
        """Returns a `tf.function` for each signature by name. Its inputs have the names that clients use."""
        return {f"{name}{SUFFIX}": self._signature(name) for name in self._rankings}

    def requests(self, exact: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
        """Returns the inputs of each signature for warm-up, given those of the exact ones."""
        return {f"{name}{SUFFIX}": {**exact[name], PROBES: np.int32(DEFAULT)} for name in self._rankings}

    def _signature(self, name: str) -> Any:
        ranking = self._rankings[name]
        default = self._probes[name]
        # A default of the SavedModel, which must be a tensor. TensorFlow Serving uses it over gRPC only.
        omitted = tf.constant(DEFAULT)

        def ranked(ids: tf.Tensor, k: tf.Tensor, probes: tf.Tensor = omitted) -> Outputs:
            return self._ranked(ranking, ids, k, tf.where(probes > DEFAULT, probes, default.probes), default)

        ids = tf.TensorSpec([None], tf.string, name=ranking.id_name)
        numbers = (tf.TensorSpec([], tf.int32, name=of) for of in ("k", PROBES))
        return tf.function(ranked, input_signature=[ids, *numbers], autograph=False)

    def _ranked(self, ranking: _Ranking, ids: tf.Tensor, k: tf.Tensor, probes: tf.Tensor, default: Probes) -> Outputs:
        """Returns the outputs of the exact signature, ranked among the rows of `probes` blocks.

        Reads more blocks if `k` answers need them. From a quarter of all blocks on, the ranking is exact.
        """
        asked, index, space = ranking.asked, ranking.index, ranking.space
        rows = ranking.rows_of(ids)
        known = asked.known(rows)
        own = tf.where(known & ranking.lists_own_table, first_of(rows), -1)
        # As in the exact ranking: all queries of a request get the same number of answers.
        one_less = tf.constant(True) if space.is_cosine else tf.reduce_any(own >= 0)
        k = tf.clip_by_value(k, 0, tf.maximum(index.side.count - tf.cast(one_less, tf.int32), 0))
        probes = tf.maximum(probes, index.blocks_with(k + 1))

        def approximate() -> Outputs:
            queries = asked.directions_of(rows) if space.is_cosine else asked.vectors_of(rows)
            best, scores = index.nearest(space, queries, own, k, index.groups_for(probes, default), probes)
            if not space.is_cosine:
                scores += tf.expand_dims(asked.biases_of(rows) + self._offset, 1)
            return {f"{index.side.side}_id": index.side.ids_of(best), "score": scores, "known": known}

        # A loop over no queries would not know the shape of its answer.
        is_exact = (probes >= exact_from(len(index.parts.blocks))) | tf.equal(tf.size(ids), 0)
        found: Outputs = tf.cond(is_exact, lambda: ranking.exact(ids, k), approximate)
        return found
