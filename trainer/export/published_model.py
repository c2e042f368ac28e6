"""The published model. Its inputs and outputs are string ids. It uses only stock TensorFlow ops."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf

from trainer import features
from trainer.data.transform_graph import TransformGraph
from trainer.export import filters
from trainer.export.fold_in import FoldInSide
from trainer.export.shared_functions import shared_function
from trainer.export.sides import SideVariables, bias_of, first_of, has_layer, is_normalized, table_of
from trainer.export.unit import unit_of
from trainer.model.fold_in import FoldIn
from trainer.model.network import GLOBAL_BIAS, LEFT_BIAS, LEFT_VECTORS, RIGHT_BIAS, RIGHT_VECTORS

Outputs = dict[str, tf.Tensor]

# Pairs without scores have no labels whose range could limit a value.
NO_LIMITS = (-np.inf, np.inf)

_IDS = tf.TensorSpec([None], tf.string)


class PublishedModel(tf.Module):
    """Embedding tables and vocabularies with the signatures of a published model.

    Args:
      network: the trained network.
      transform: the transform graph, which encodes ids.
      shared: whether both sides use one table.
      hashes: the number of rows of each unknown id.
      scores: the lowest and the highest raw score of training.
      fold_in: how vectors of unseen entities are found, or None if the model has no signatures for them.
      log_odds: the log odds of the higher of two raw scores at a score of 1. 0 for other models.
    """

    def __init__(
        self,
        network: keras.Model,
        transform: TransformGraph,
        shared: bool,
        hashes: int = 1,
        scores: tuple[float, float] = NO_LIMITS,
        fold_in: FoldIn | None = None,
        log_odds: float = 0.0,
    ) -> None:
        super().__init__(name="published_model")
        # Tracing them once makes them shared functions of all signatures.
        self.left_rows = shared_function(self._left_rows, _IDS)
        self.right_rows = shared_function(self._right_rows, _IDS)
        self._scored = shared_function(self._score, _IDS, _IDS)
        # The export adds them (`trainer.export.approximate`).
        self.approximate: tf.Module | None = None
        self._encode = transform.transform_features_layer()
        self._shared = shared
        self._hashes = hashes
        self._is_probability = bool(log_odds)
        left_name, right_name = features.vocabulary_names(shared)
        left = table_of(network, LEFT_VECTORS, _ids(transform, left_name), hashes)
        right = left if shared else table_of(network, RIGHT_VECTORS, _ids(transform, right_name), hashes)
        self.is_normalized = normalized = is_normalized(network)
        self.left = SideVariables("left", left, bias_of(network, LEFT_BIAS, left), normalized)
        self.right = SideVariables("right", right, bias_of(network, RIGHT_BIAS, right), normalized)
        offset = network.get_layer(GLOBAL_BIAS).get_weights()[0] if has_layer(network, GLOBAL_BIAS) else np.float32(0)
        self.offset = tf.Variable(offset, trainable=False, name="offset")
        unit = unit_of(transform)
        # Variables, so that a warm start can read them like the tables.
        self.center = tf.Variable(unit.center, trainable=False, dtype=tf.float32, name="center")
        self.scale = tf.Variable(unit.scale, trainable=False, dtype=tf.float32, name="scale")
        self.lowest, self.highest = (
            tf.Variable(limit, trainable=False, dtype=tf.float32, name=name)
            for name, limit in zip(("lowest", "highest"), scores, strict=True)
        )
        self.log_odds = tf.Variable(log_odds, trainable=False, dtype=tf.float32, name="log_odds")
        # Programs that read only the variables need these for unknown ids.
        self.hashes = tf.Variable(hashes, trainable=False, dtype=tf.int32, name="hashes")
        self.normalized = tf.Variable(normalized, trainable=False, dtype=tf.bool, name="normalized")
        # By side, filled in by the export if there are features.
        self.described: dict[str, tf.Module] = {}
        self.fold_in_left = FoldInSide("left", fold_in.left, fold_in) if fold_in else None
        self.fold_in_right = FoldInSide("right", fold_in.right, fold_in) if fold_in else None

    def _left_rows(self, ids: tf.Tensor) -> tf.Tensor:
        """Returns table rows int64 `[n, hashes]` of left ids string `[n]`."""
        return tf.ensure_shape(self._encode({features.LEFT_ID: ids[:, None]})[features.LEFT], [None, self._hashes])

    def _right_rows(self, ids: tf.Tensor) -> tf.Tensor:
        """Returns table rows int64 `[n, hashes]` of right ids string `[n]`."""
        return tf.ensure_shape(self._encode({features.RIGHT_ID: ids[:, None]})[features.RIGHT], [None, self._hashes])

    def pair_scores(self, left: tf.Tensor, right: tf.Tensor) -> tf.Tensor:
        """Returns scores float `[n]` (dot product plus biases) of table rows `[n, hashes]` of each side."""
        dot = tf.reduce_sum(self.left.vectors_of(left) * self.right.vectors_of(right), axis=1)
        return dot + self.left.biases_of(left) + self.right.biases_of(right) + self.offset

    def score(self, left_id: tf.Tensor, right_id: tf.Tensor) -> Outputs:
        """Scores pairs of ids, string `[n]` each.

        Returns:
          `score`, the signed score. `strength`, its absolute value. `value`, the score in the unit of the label,
            clipped to the labels of training. `left_known` and `right_known`, whether each id is in the vocabulary. All
            are `[n]`.
        """
        outputs: Outputs = self._scored(left_id, right_id)
        return outputs

    def _score(self, left_id: tf.Tensor, right_id: tf.Tensor) -> Outputs:
        sizes = tf.shape(left_id), tf.shape(right_id)
        rule = "left_id and right_id must have the same number of ids. Shapes:"
        # Otherwise one id of one side would be scored with all ids of the other side.
        with tf.control_dependencies([filters.check(tf.reduce_all(tf.equal(*sizes)), [rule, *sizes])]):
            left, right = self.left_rows(tf.identity(left_id)), self.right_rows(tf.identity(right_id))
        score = self.pair_scores(left, right)
        return {
            "score": score,
            "strength": tf.abs(score),
            "value": self.value_of(score),
            "left_known": self.left.known(left),
            "right_known": self.right.known(right),
        }

    def value_of(self, score: tf.Tensor) -> tf.Tensor:
        """Returns the value of scores: the expected raw score, within the raw scores of training."""
        if self._is_probability:
            return self.lowest + (self.highest - self.lowest) * tf.sigmoid(self.log_odds * score)
        return tf.clip_by_value(score * self.scale + self.center, self.lowest, self.highest)

    def score_examples(self, examples: tf.Tensor) -> Outputs:
        """Returns `score` `[n]` of serialized tf.Examples, string `[n]`."""
        return {"score": self._score_parsed(examples)["score"]}

    def evaluate_examples(self, examples: tf.Tensor) -> Outputs:
        """Returns `value` `[n]` and `baseline` `[n]`, the value of a constant model, for the Evaluator."""
        value = self._score_parsed(examples)["value"]
        return {"value": value, "baseline": tf.fill(tf.shape(value), self.center)}

    def _score_parsed(self, examples: tf.Tensor) -> Outputs:
        ids = {name: tf.io.FixedLenFeature([], tf.string) for name in (features.LEFT_ID, features.RIGHT_ID)}
        parsed = tf.io.parse_example(examples, ids)
        return self.score(parsed[features.LEFT_ID], parsed[features.RIGHT_ID])

    def similar_right(self, left_id: tf.Tensor, k: tf.Tensor) -> Outputs:
        """Returns the `k` right entities with the highest score for each left id, best first, `[n, k]`.

        Also returns whether each left id is `known`, `[n]`. If both sides share a table, without the id itself.
        """
        return self._similar(self.left, self.left_rows(left_id), self.right, k)

    def similar_left(self, right_id: tf.Tensor, k: tf.Tensor) -> Outputs:
        """Returns the `k` left entities with the highest score for each right id, best first, `[n, k]`.

        Also returns whether each right id is `known`, `[n]`. If both sides share a table, without the id itself.
        """
        return self._similar(self.right, self.right_rows(right_id), self.left, k)

    def similar_right_filtered(
        self, left_id: tf.Tensor, k: tf.Tensor, exclude: tf.Tensor, candidates: tf.Tensor
    ) -> Outputs:
        """Like `similar_right`, without the ids `exclude`.

        Args:
          left_id: string `[n]`.
          k: the number of entities.
          exclude: string `[e]`, right ids to leave out, or `[n, e]`, those of each row, padded with empty strings. Then
            rows with fewer answers than others are padded with the empty id and the smallest score.
          candidates: string `[c]`. If not empty, only these right ids are returned.
        """
        allowed = filters.filter_of(self.right, self.right_rows, exclude, candidates, left_id)
        return self._similar(self.left, self.left_rows(left_id), self.right, k, allowed)

    def similar_left_filtered(
        self, right_id: tf.Tensor, k: tf.Tensor, exclude: tf.Tensor, candidates: tf.Tensor
    ) -> Outputs:
        """Like `similar_left`, without the ids `exclude`.

        Args:
          right_id: string `[n]`.
          k: the number of entities.
          exclude: string `[e]`, left ids to leave out, or `[n, e]`, those of each row, padded with empty strings. Then
            rows with fewer answers than others are padded with the empty id and the smallest score.
          candidates: string `[c]`. If not empty, only these left ids are returned.
        """
        allowed = filters.filter_of(self.left, self.left_rows, exclude, candidates, right_id)
        return self._similar(self.right, self.right_rows(right_id), self.left, k, allowed)

    def _similar(
        self,
        query: SideVariables,
        rows: tf.Tensor,
        candidates: SideVariables,
        k: tf.Tensor,
        allowed: filters.Filter | None = None,
    ) -> Outputs:
        """Returns the best candidates, from all or from the allowed ones, and whether each query is known.

        If both sides share a table, a known query is no candidate. All queries of a request then get one answer less.
        """
        scores = candidates.products(query.vectors_of(rows)) + candidates.bias.read_value()[: candidates.count]
        limit: tf.Tensor | int = candidates.count
        itself = _itself(candidates, rows) if self._shared else None
        if allowed is not None:
            scores, limit = tf.where(allowed.allowed, scores, -float("inf")), allowed.limit
        if itself is not None:
            scores = tf.where(itself, -float("inf"), scores)
            left_out = tf.reduce_any(itself)
            if allowed is not None:
                left_out = tf.reduce_any(itself & allowed.allowed) & ~allowed.per_row
            limit -= tf.cast(left_out, tf.int32)
        best, values = candidates.nearest(scores, k, limit)
        # Equal for all candidates of a query, so it does not change their order.
        ids, values = candidates.ids_of(best), values + tf.expand_dims(query.biases_of(rows) + self.offset, 1)
        if allowed is not None:
            ids, values = filters.padded(ids, values)
        return {f"{candidates.side}_id": ids, "score": values, "known": query.known(rows)}

    def neighbors_left(self, left_id: tf.Tensor, k: tf.Tensor) -> Outputs:
        """Returns the `k` other left entities with the highest cosine for each left id, `[n, k]`, and `known`."""
        return _neighbors(self.left, self.left_rows(left_id), k)

    def neighbors_right(self, right_id: tf.Tensor, k: tf.Tensor) -> Outputs:
        """Returns the `k` other right entities with the highest cosine for each right id, `[n, k]`, and `known`."""
        return _neighbors(self.right, self.right_rows(right_id), k)

    def embed_left(self, left_id: tf.Tensor) -> Outputs:
        """Returns `embedding` `[n, d]` and `known` `[n]` of left ids `[n]`."""
        rows = self.left_rows(left_id)
        return {"embedding": self.left.vectors_of(rows), "known": self.left.known(rows)}

    def embed_right(self, right_id: tf.Tensor) -> Outputs:
        """Returns `embedding` `[n, d]` and `known` `[n]` of right ids `[n]`."""
        rows = self.right_rows(right_id)
        return {"embedding": self.right.vectors_of(rows), "known": self.right.known(rows)}


def _neighbors(side: SideVariables, rows: tf.Tensor, k: tf.Tensor) -> Outputs:
    """Returns the rows with the highest cosine, without the query. A zero vector has cosine 0 with all rows."""
    cosines = side.products(side.directions_of(rows)) * side.inverse_lengths.read_value()[: side.count]
    best, values = side.nearest(tf.where(_itself(side, rows), -float("inf"), cosines), k, side.count - 1)
    return {f"{side.side}_id": side.ids_of(best), "score": values, "known": side.known(rows)}


def _itself(side: SideVariables, rows: tf.Tensor) -> tf.Tensor:
    """Returns which known entity is the query, bool `[n, count]`."""
    return tf.one_hot(first_of(rows), side.count, on_value=True, off_value=False, dtype=tf.bool)


def _ids(transform: TransformGraph, vocabulary: str) -> list[bytes]:
    return list(transform.vocabulary_by_name(vocabulary))
