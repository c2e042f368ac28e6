"""The published model: string ids in, string ids out, stock TensorFlow ops only.

The SavedModel holds the transform graph's vocabularies, the embedding tables and the catalogue of ids, and answers by
the signatures that `signatures` lists. It needs nothing but TensorFlow to load.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from trainer import features
from trainer.data.transform_graph import TransformGraph
from trainer.export import warmup
from trainer.model.network import GLOBAL_BIAS, LEFT_BIAS, LEFT_VECTORS, RIGHT_BIAS, RIGHT_VECTORS, Direction

Outputs = dict[str, tf.Tensor]

# Where the affine map from scores to labels is probed: the largest of these whose label float32 can hold is far beyond
# any score, so that (probe - center) / scale is probe / scale to the last bit; powers of two, so nothing is rounded.
_PROBES = 2.0 ** np.arange(120, -121, -20)


@dataclasses.dataclass(frozen=True)
class Unit:
    """The label's own unit: value = score * scale + center."""

    center: float
    scale: float


def unit_of(transform: TransformGraph) -> Unit:
    """Reads centre and scale back from the transform graph, which alone knows them: transforms 0 and huge scores.

    Where pairs have no score, the model's own unit is the only one.
    """
    if features.SCORE not in transform.raw_feature_spec():
        return Unit(center=0.0, scale=1.0)
    scores = tf.constant([[0.0], *([probe] for probe in _PROBES)], tf.float32)
    no_ids = tf.fill(tf.shape(scores), b"")
    probes = {features.LEFT_ID: no_ids, features.RIGHT_ID: no_ids, features.SCORE: scores}
    zero, *labels = transform.transform_features_layer()(probes)[features.LABEL].numpy().astype(np.float64)[:, 0]
    largest = int(np.argmax(np.isfinite(labels)))
    scale = _PROBES[largest] / (labels[largest] - zero)
    return Unit(center=float(-zero * scale), scale=float(scale))


class _Table:
    """The entities of a vocabulary: their ids and vectors, in its order, out-of-vocabulary rows last.

    Vectors are always read whole and gathered from what was read. Gathering from the variable itself would mark it as
    sparsely read, and TensorFlow would then copy all of it for every ranking: 0.3 s where the matmul takes 0.02.
    """

    def __init__(self, ids: list[bytes], vectors: np.ndarray) -> None:
        self.ids = tf.Variable(np.array(ids, dtype=object), dtype=tf.string, trainable=False, name="ids")
        self.vectors = tf.Variable(vectors, trainable=False, name="vectors")
        lengths = np.linalg.norm(vectors.astype(np.float64), axis=1)
        inverse = np.divide(1.0, lengths, out=np.zeros(len(vectors)), where=lengths > 0)
        self.inverse_lengths = tf.Variable(inverse.astype(np.float32), trainable=False, name="inverse_lengths")
        self.count = len(ids)


class _Side(tf.Module):
    """One side of the model: the table of its entities, which the sides may share, and its biases.

    Ids come as rows `[n, hashes]`: a known id's one row, repeated; those that an unknown id is the mean of.
    """

    def __init__(self, name: str, table: _Table, bias: np.ndarray, normalized: bool) -> None:
        super().__init__(name=name)
        self._normalized = normalized
        # Attributes of its own, so that a warm start finds them in the checkpoint as `left/vectors` and so on.
        self.ids, self.vectors = table.ids, table.vectors
        self.inverse_lengths = table.inverse_lengths
        self.bias = tf.Variable(bias, trainable=False, name="bias")
        self.count = table.count

    def known(self, rows: tf.Tensor) -> tf.Tensor:
        """Whether rows `[n, hashes]` are of the vocabulary, not out-of-vocabulary buckets; bool `[n]`."""
        return rows[:, 0] < self.count

    def vectors_of(self, rows: tf.Tensor) -> tf.Tensor:
        """Vectors `[n, d]` of rows `[n, hashes]`."""
        return self._mean(self.vectors.read_value(), rows, self._normalized)

    def biases_of(self, rows: tf.Tensor) -> tf.Tensor:
        """Biases `[n]` of rows `[n, hashes]`."""
        return self._mean(self.bias.read_value(), rows, False)

    def directions_of(self, rows: tf.Tensor) -> tf.Tensor:
        """Vectors `[n, d]` of rows `[n, hashes]`, divided by their lengths; zero stays zero."""
        vectors = self.vectors_of(rows)
        inverse = tf.gather(self.inverse_lengths.read_value(), rows[:, 0])
        if rows.shape[1] > 1:
            of_means = tf.math.reciprocal_no_nan(tf.norm(vectors, axis=1))
            inverse = tf.where(self.known(rows), inverse, of_means)
        return vectors * inverse[:, None]

    def _mean(self, table: tf.Tensor, rows: tf.Tensor, normalized: bool) -> tf.Tensor:
        """What `table` `[rows, ...]` has for known ids as it is, for unknown ones its mean; `[n, ...]`."""
        first = tf.gather(table, rows[:, 0])
        if rows.shape[1] == 1:
            return first
        mean = tf.reduce_mean(tf.gather(table, rows), axis=1)
        if normalized:
            mean = tf.math.l2_normalize(mean, axis=-1)
        known = tf.reshape(self.known(rows), [-1] + [1] * (len(table.shape) - 1))
        return tf.where(known, first, mean)

    def products(self, queries: tf.Tensor) -> tf.Tensor:
        """Dot products `[n, count]` of `queries` `[n, d]` with every known entity."""
        return tf.matmul(queries, self.vectors.read_value()[: self.count], transpose_b=True)

    def nearest(self, scores: tf.Tensor, k: tf.Tensor, limit: tf.Tensor | int) -> tuple[tf.Tensor, tf.Tensor]:
        """Rows and scores of the `k` best of `[n, count]`; `k` is clipped to `[0, limit]`, ties go to the lower row."""
        best = tf.math.top_k(scores, k=tf.clip_by_value(k, 0, limit))
        return best.indices, best.values

    def ids_of(self, rows: tf.Tensor) -> tf.Tensor:
        """Ids, of the shape of `rows`."""
        return tf.gather(self.ids.read_value(), rows)


# Every signature looks ids up: the transform graph is put into each as a call of one function, not anew.
_traced_once = tf.function(input_signature=[tf.TensorSpec([None], tf.string)], autograph=False)


class PublishedModel(tf.Module):
    """Embedding tables and vocabularies with the signatures of a published model."""

    def __init__(self, network: keras.Model, transform: TransformGraph, shared: bool, hashes: int = 1) -> None:
        super().__init__(name="published_model")
        self._encode = transform.transform_features_layer()
        self._hashes = hashes
        left_name, right_name = features.vocabulary_names(shared)
        left = _table_of(network, LEFT_VECTORS, _ids(transform, left_name), hashes)
        right = left if shared else _table_of(network, RIGHT_VECTORS, _ids(transform, right_name), hashes)
        normalized = _normalized(network)
        self.left = _Side("left", left, _bias(network, LEFT_BIAS, left), normalized)
        self.right = _Side("right", right, _bias(network, RIGHT_BIAS, right), normalized)
        offset = network.get_layer(GLOBAL_BIAS).get_weights()[0] if _has(network, GLOBAL_BIAS) else np.float32(0)
        self.offset = tf.Variable(offset, trainable=False, name="offset")
        unit = unit_of(transform)
        # Variables, so that a warm start finds them beside the tables.
        self.center = tf.Variable(unit.center, trainable=False, dtype=tf.float32, name="center")
        self.scale = tf.Variable(unit.scale, trainable=False, dtype=tf.float32, name="scale")
        # These too: who reads the tables from the variables alone needs them for unknown ids.
        self.hashes = tf.Variable(hashes, trainable=False, dtype=tf.int32, name="hashes")
        self.normalized = tf.Variable(normalized, trainable=False, dtype=tf.bool, name="normalized")

    @_traced_once
    def left_rows(self, ids: tf.Tensor) -> tf.Tensor:
        """Table rows int64 `[n, hashes]` of left ids string `[n]`."""
        return tf.ensure_shape(self._encode({features.LEFT_ID: ids[:, None]})[features.LEFT], [None, self._hashes])

    @_traced_once
    def right_rows(self, ids: tf.Tensor) -> tf.Tensor:
        """Table rows int64 `[n, hashes]` of right ids string `[n]`."""
        return tf.ensure_shape(self._encode({features.RIGHT_ID: ids[:, None]})[features.RIGHT], [None, self._hashes])

    def pair_scores(self, left: tf.Tensor, right: tf.Tensor) -> tf.Tensor:
        """score float `[n]` = dot + biases for table rows `[n, hashes]` of either side."""
        dot = tf.reduce_sum(self.left.vectors_of(left) * self.right.vectors_of(right), axis=1)
        return dot + self.left.biases_of(left) + self.right.biases_of(right) + self.offset

    def score(self, left_id: tf.Tensor, right_id: tf.Tensor) -> Outputs:
        """Signed score, strength, value in the label's unit, and whether each id was in the vocabulary; all `[n]`."""
        left, right = self.left_rows(left_id), self.right_rows(right_id)
        score = self.pair_scores(left, right)
        return {
            "score": score,
            "strength": tf.abs(score),
            "value": score * self.scale + self.center,
            "left_known": self.left.known(left),
            "right_known": self.right.known(right),
        }

    def score_examples(self, examples: tf.Tensor) -> Outputs:
        """score `[n]` for serialized tf.Examples string `[n]`."""
        return {"score": self._score_parsed(examples)["score"]}

    def evaluate_examples(self, examples: tf.Tensor) -> Outputs:
        """For the Evaluator: `value` `[n]`, and `baseline` `[n]`, the value that a constant model would answer."""
        value = self._score_parsed(examples)["value"]
        return {"value": value, "baseline": tf.fill(tf.shape(value), self.center)}

    def _score_parsed(self, examples: tf.Tensor) -> Outputs:
        ids = {name: tf.io.FixedLenFeature([], tf.string) for name in (features.LEFT_ID, features.RIGHT_ID)}
        parsed = tf.io.parse_example(examples, ids)
        return self.score(parsed[features.LEFT_ID], parsed[features.RIGHT_ID])

    def similar_right(self, left_id: tf.Tensor, k: tf.Tensor) -> Outputs:
        """The `k` right entities with the highest score for each left id, best first; `[n, k]`."""
        ids, scores = self._similar(self.left, self.left_rows(left_id), self.right, k)
        return {"right_id": ids, "score": scores}

    def similar_left(self, right_id: tf.Tensor, k: tf.Tensor) -> Outputs:
        """The `k` left entities with the highest score for each right id, best first; `[n, k]`."""
        ids, scores = self._similar(self.right, self.right_rows(right_id), self.left, k)
        return {"left_id": ids, "score": scores}

    def similar_right_filtered(
        self, left_id: tf.Tensor, k: tf.Tensor, exclude: tf.Tensor, candidates: tf.Tensor
    ) -> Outputs:
        """As `similar_right`, without the ids `exclude` `[e]`, and among `candidates` `[c]` where there are any."""
        allowed = _allowed(self.right, self.right_rows(exclude), self.right_rows(candidates))
        ids, scores = self._similar(self.left, self.left_rows(left_id), self.right, k, allowed)
        return {"right_id": ids, "score": scores}

    def similar_left_filtered(
        self, right_id: tf.Tensor, k: tf.Tensor, exclude: tf.Tensor, candidates: tf.Tensor
    ) -> Outputs:
        """As `similar_left`, without the ids `exclude` `[e]`, and among `candidates` `[c]` where there are any."""
        allowed = _allowed(self.left, self.left_rows(exclude), self.left_rows(candidates))
        ids, scores = self._similar(self.right, self.right_rows(right_id), self.left, k, allowed)
        return {"left_id": ids, "score": scores}

    def _similar(
        self, query: _Side, rows: tf.Tensor, candidates: _Side, k: tf.Tensor, allowed: tf.Tensor | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """The best candidates, all of them or those of the mask `allowed` `[count]`."""
        scores = candidates.products(query.vectors_of(rows)) + candidates.bias.read_value()[: candidates.count]
        limit = candidates.count
        if allowed is not None:
            scores = tf.where(allowed, scores, -float("inf"))
            limit = tf.math.count_nonzero(allowed, dtype=tf.int32)
        best, values = candidates.nearest(scores, k, limit)
        # The same for every candidate of a query: it changes no order.
        return candidates.ids_of(best), values + (query.biases_of(rows) + self.offset)[:, None]

    def neighbors_left(self, left_id: tf.Tensor, k: tf.Tensor) -> Outputs:
        """The `k` other left entities nearest by cosine to each left id; `[n, k]`."""
        ids, scores = _neighbors(self.left, self.left_rows(left_id), k)
        return {"left_id": ids, "score": scores}

    def neighbors_right(self, right_id: tf.Tensor, k: tf.Tensor) -> Outputs:
        """The `k` other right entities nearest by cosine to each right id; `[n, k]`."""
        ids, scores = _neighbors(self.right, self.right_rows(right_id), k)
        return {"right_id": ids, "score": scores}

    def embed_left(self, left_id: tf.Tensor) -> Outputs:
        """`embedding` `[n, d]` and `known` `[n]` of left ids `[n]`."""
        rows = self.left_rows(left_id)
        return {"embedding": self.left.vectors_of(rows), "known": self.left.known(rows)}

    def embed_right(self, right_id: tf.Tensor) -> Outputs:
        """`embedding` `[n, d]` and `known` `[n]` of right ids `[n]`."""
        rows = self.right_rows(right_id)
        return {"embedding": self.right.vectors_of(rows), "known": self.right.known(rows)}


def _allowed(side: _Side, exclude: tf.Tensor, candidates: tf.Tensor) -> tf.Tensor:
    """bool `[count]`: which known rows may be answered; without candidates all but the excluded."""

    def mask(rows: tf.Tensor) -> tf.Tensor:
        known = tf.boolean_mask(rows[:, 0], side.known(rows))
        hits = tf.math.unsorted_segment_sum(tf.ones_like(known), known, side.count)
        return hits > 0

    every = tf.equal(tf.size(candidates), 0)
    return tf.logical_and(tf.logical_or(every, mask(candidates)), tf.logical_not(mask(exclude)))


def _neighbors(side: _Side, rows: tf.Tensor, k: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Nearest rows of the same table by cosine, without the query itself; a zero vector is at cosine 0 from all."""
    cosines = side.products(side.directions_of(rows)) * side.inverse_lengths.read_value()[: side.count]
    itself = tf.one_hot(rows[:, 0], side.count, on_value=True, off_value=False, dtype=tf.bool)
    best, values = side.nearest(tf.where(itself, -float("inf"), cosines), k, side.count - 1)
    return side.ids_of(best), values


def signatures(model: PublishedModel) -> dict[str, Any]:
    """A `tf.function` for every signature by name, its inputs named as clients send them."""

    def traced(function: Callable[..., Outputs], **inputs: tf.TensorSpec) -> Any:
        specs = [_named(name, spec) for name, spec in inputs.items()]
        # There is no Python control flow over tensors, and looking for it takes half of the time of an export.
        return tf.function(function, input_signature=specs, autograph=False)

    ids = tf.TensorSpec([None], tf.string)
    k = tf.TensorSpec([], tf.int32)
    filters = {"exclude": ids, "candidates": ids}
    return {
        "serving_default": traced(model.score_examples, examples=ids),
        "evaluate": traced(model.evaluate_examples, examples=ids),
        "score": traced(model.score, left_id=ids, right_id=ids),
        "similar_right": traced(model.similar_right, left_id=ids, k=k),
        "similar_right_filtered": traced(model.similar_right_filtered, left_id=ids, k=k, **filters),
        "similar_left_filtered": traced(model.similar_left_filtered, right_id=ids, k=k, **filters),
        "similar_left": traced(model.similar_left, right_id=ids, k=k),
        "neighbors_left": traced(model.neighbors_left, left_id=ids, k=k),
        "neighbors_right": traced(model.neighbors_right, right_id=ids, k=k),
        "embed_left": traced(model.embed_left, left_id=ids),
        "embed_right": traced(model.embed_right, right_id=ids),
    }


def _named(name: str, spec: tf.TensorSpec) -> tf.TensorSpec:
    """`spec` under the name by which clients send it."""
    return tf.TensorSpec(spec.shape, spec.dtype, name=name)


def export(network: keras.Model, transform: TransformGraph, shared: bool, directory: str, hashes: int = 1) -> None:
    """Writes `network` with the vocabularies of `transform` as a SavedModel with every signature."""
    model = PublishedModel(network, transform, shared, hashes)
    concrete = {name: function.get_concrete_function() for name, function in signatures(model).items()}
    tf.saved_model.save(model, directory, signatures=concrete)
    some_id = [side.ids[:1].numpy().tolist() for side in (model.left, model.right)]
    warmup.write_requests(directory, *(ids[0] if ids else b"" for ids in some_id))


def _ids(transform: TransformGraph, vocabulary: str) -> list[bytes]:
    return list(transform.vocabulary_by_name(vocabulary))


def _has(network: keras.Model, layer: str) -> bool:
    return any(candidate.name == layer for candidate in network.layers)


def _table(network: keras.Model, layer: str) -> np.ndarray:
    return np.asarray(network.get_layer(layer).get_weights()[0])


def _normalized(network: keras.Model) -> bool:
    """Whether the network divides vectors by their lengths before it multiplies them."""
    return any(isinstance(layer, Direction) for layer in network.layers)


def _table_of(network: keras.Model, layer: str, ids: list[bytes], hashes: int) -> _Table:
    """The table of `layer`, normalised where the network does that; rows that means are taken of are not."""
    vectors = _table(network, layer)
    if _normalized(network):
        normal = len(ids) if hashes > 1 else len(vectors)
        vectors = np.concatenate([np.asarray(tf.math.l2_normalize(vectors[:normal], axis=-1)), vectors[normal:]])
    return _Table(ids, vectors)


def _bias(network: keras.Model, layer: str, table: _Table) -> np.ndarray:
    """Biases `[rows]` of a side, zero where the model has none."""
    if _has(network, layer):
        return _table(network, layer)[:, 0]
    return np.zeros(table.vectors.shape[0], np.float32)
