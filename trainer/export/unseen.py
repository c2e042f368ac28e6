"""Signatures for entities that the model has never seen, given by the entities of their pairs."""

from __future__ import annotations

import tensorflow as tf

from trainer.export import filters
from trainer.export.fold_in import FoldInSide, Given, given_of
from trainer.export.published_model import Outputs, PublishedModel
from trainer.export.shared_functions import shared_function
from trainer.export.sides import first_of


class Unseen:
    """Finds vectors of unseen entities of one side, and ranks the other side for them.

    Args:
      model: the published model. It must have a fold-in.
      side: the side of the unseen entities.
    """

    def __init__(self, model: PublishedModel, side: str) -> None:
        fold_in: FoldInSide | None = model.fold_in_left if side == "left" else model.fold_in_right
        if fold_in is None:
            raise ValueError("the model has no fold-in")
        self._model, self._fold_in = model, fold_in
        self._other = model.right if side == "left" else model.left
        given = tf.TensorSpec([None, None], tf.string), tf.TensorSpec(None, tf.float32)
        self._found = shared_function(self._find, *given)
        self._rows_of = model.right_rows if side == "left" else model.left_rows

    def embed(self, given_id: tf.Tensor, given_score: tf.Tensor) -> Outputs:
        """Finds the vectors of unseen entities.

        Args:
          given_id: string `[n, m]`, the ids of the other side in the pairs of each entity, padded with empty strings.
          given_score: float `[n, m]`, the score of each pair, or empty.

        Returns:
          `embedding` `[n, d]` and `bias` `[n]`. `known` `[n]`, whether the model knows any of the given ids of the
            entity. Without one, the vector is that of an average entity.
        """
        _, vectors, bias, known = self._found(given_id, given_score)
        return {"embedding": vectors, "bias": bias, "known": known}

    def recommend(self, given_id: tf.Tensor, given_score: tf.Tensor, k: tf.Tensor) -> Outputs:
        """Returns the `k` entities of the other side with the highest score for each unseen entity, best first.

        The given entities are not among the answers. So rows can have fewer answers than others. They are padded as in
        `trainer.export.filters`.

        Args:
          given_id: as in `embed`.
          given_score: as in `embed`.
          k: the number of entities.

        Returns:
          Their ids and `score` `[n, k]`, and `known` `[n]` as in `embed`.
        """
        given, vectors, bias, known = self._found(given_id, given_score)
        other = self._other
        scores = other.products(vectors) + other.bias.read_value()[: other.count]
        is_given = filters.marked(tf.where(given.known, given.rows, other.count), tf.constant(other.count, tf.int64))
        scores = tf.where(is_given, -float("inf"), scores)
        best, values = other.nearest(scores, k, other.count)
        values += tf.expand_dims(bias + self._model.offset, 1)
        ids, values = filters.padded(other.ids_of(best), values)
        return {f"{other.side}_id": ids, "score": values, "known": known}

    def _find(self, given_id: tf.Tensor, given_score: tf.Tensor) -> tuple[Given, tf.Tensor, tf.Tensor, tf.Tensor]:
        rows = self._rows_of(tf.reshape(given_id, [-1]))
        given = given_of(first_of(rows), self._other.known(rows), given_id, given_score)
        model = self._model
        vectors, bias = self._fold_in.rows_of(given, self._other, model.offset, model.center, model.scale)
        if model.is_normalized:
            vectors = tf.math.l2_normalize(vectors, axis=1)
        return given, vectors, bias, tf.reduce_any(given.known, axis=1)
