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
import tensorflow_transform as tft

from trainer import features
from trainer.model import GLOBAL_BIAS, LEFT_BIAS, LEFT_VECTORS, RIGHT_BIAS, RIGHT_VECTORS

Outputs = dict[str, tf.Tensor]

# Where the affine map from scores to labels is probed: the largest of these whose label float32 can hold is far beyond
# any score, so that (probe - center) / scale is probe / scale to the last bit; powers of two, so nothing is rounded.
_PROBES = 2.0 ** np.arange(120, -121, -20)


@dataclasses.dataclass(frozen=True)
class Unit:
    """The label's own unit: value = score * scale + center."""

    center: float
    scale: float


def unit_of(transform: tft.TFTransformOutput) -> Unit:
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


class _Side(tf.Module):
    """One side of the model: its ids, its rows of vectors and biases, in the order of its vocabulary."""

    def __init__(self, name: str, ids: list[bytes], vectors: np.ndarray, bias: np.ndarray) -> None:
        super().__init__(name=name)
        self.ids = tf.Variable(np.array(ids, dtype=object), dtype=tf.string, trainable=False, name="ids")
        self.vectors = tf.Variable(vectors, trainable=False, name="vectors")
        self.bias = tf.Variable(bias, trainable=False, name="bias")
        self.count = len(ids)

    def known(self, rows: tf.Tensor) -> tf.Tensor:
        """Whether rows `[n]` are of the vocabulary, not out-of-vocabulary buckets; bool `[n]`."""
        return rows < self.count

    def nearest(self, scores: tf.Tensor, k: tf.Tensor, limit: int) -> tuple[tf.Tensor, tf.Tensor]:
        """Ids and scores of the `k` best of `[n, count]`; `k` is clipped to `[0, limit]`, ties go to the lower row."""
        best = tf.math.top_k(scores, k=tf.clip_by_value(k, 0, limit))
        return tf.gather(self.ids, best.indices), best.values


class PublishedModel(tf.Module):
    """Embedding tables and vocabularies with the signatures of a published model."""

    def __init__(self, network: keras.Model, transform: tft.TFTransformOutput, shared: bool) -> None:
        super().__init__(name="published_model")
        self._encode = transform.transform_features_layer()
        names = features.vocabulary_names(shared)
        left_vectors = _table(network, LEFT_VECTORS)
        right_vectors = left_vectors if shared else _table(network, RIGHT_VECTORS)
        self.left = _Side("left", _ids(transform, names[0]), left_vectors, _bias(network, LEFT_BIAS, left_vectors))
        self.right = _Side("right", _ids(transform, names[1]), right_vectors, _bias(network, RIGHT_BIAS, right_vectors))
        offset = network.get_layer(GLOBAL_BIAS).get_weights()[0] if _has(network, GLOBAL_BIAS) else np.float32(0)
        self.offset = tf.Variable(offset, trainable=False, name="offset")
        unit = unit_of(transform)
        # Variables, so that a warm start finds them beside the tables.
        self.center = tf.Variable(unit.center, trainable=False, dtype=tf.float32, name="center")
        self.scale = tf.Variable(unit.scale, trainable=False, dtype=tf.float32, name="scale")

    def left_rows(self, ids: tf.Tensor) -> tf.Tensor:
        """Table rows int64 `[n]` of left ids string `[n]`."""
        return self._encode({features.LEFT_ID: ids[:, None]})[features.LEFT][:, 0]

    def right_rows(self, ids: tf.Tensor) -> tf.Tensor:
        """Table rows int64 `[n]` of right ids string `[n]`."""
        return self._encode({features.RIGHT_ID: ids[:, None]})[features.RIGHT][:, 0]

    def pair_scores(self, left: tf.Tensor, right: tf.Tensor) -> tf.Tensor:
        """score float `[n]` = dot + biases for table rows `[n]` of either side."""
        dot = tf.reduce_sum(tf.gather(self.left.vectors, left) * tf.gather(self.right.vectors, right), axis=1)
        return dot + tf.gather(self.left.bias, left) + tf.gather(self.right.bias, right) + self.offset

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

    def _similar(self, query: _Side, rows: tf.Tensor, candidates: _Side, k: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        vectors, bias = candidates.vectors[: candidates.count], candidates.bias[: candidates.count]
        dot = tf.matmul(tf.gather(query.vectors, rows), vectors, transpose_b=True)
        scores = dot + bias[None, :] + tf.gather(query.bias, rows)[:, None] + self.offset
        return candidates.nearest(scores, k, candidates.count)

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
        return {"embedding": tf.gather(self.left.vectors, rows), "known": self.left.known(rows)}

    def embed_right(self, right_id: tf.Tensor) -> Outputs:
        """`embedding` `[n, d]` and `known` `[n]` of right ids `[n]`."""
        rows = self.right_rows(right_id)
        return {"embedding": tf.gather(self.right.vectors, rows), "known": self.right.known(rows)}


def _neighbors(side: _Side, rows: tf.Tensor, k: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Nearest rows of the same table by cosine, without the query itself; a zero vector is at cosine 0 from all."""
    vectors = tf.math.l2_normalize(side.vectors[: side.count], axis=1)
    query = tf.math.l2_normalize(tf.gather(side.vectors, rows), axis=1)
    itself = tf.one_hot(rows, side.count, on_value=True, off_value=False, dtype=tf.bool)
    scores = tf.where(itself, -float("inf"), tf.matmul(query, vectors, transpose_b=True))
    return side.nearest(scores, k, side.count - 1)


def signatures(model: PublishedModel) -> dict[str, Any]:
    """A `tf.function` for every signature by name, its inputs named as clients send them."""

    def traced(function: Callable[..., Outputs], **inputs: tf.TensorSpec) -> Any:
        specs = [_named(name, spec) for name, spec in inputs.items()]
        return tf.function(function, input_signature=specs)

    ids = tf.TensorSpec([None], tf.string)
    k = tf.TensorSpec([], tf.int32)
    return {
        "serving_default": traced(model.score_examples, examples=ids),
        "evaluate": traced(model.evaluate_examples, examples=ids),
        "score": traced(model.score, left_id=ids, right_id=ids),
        "similar_right": traced(model.similar_right, left_id=ids, k=k),
        "similar_left": traced(model.similar_left, right_id=ids, k=k),
        "neighbors_left": traced(model.neighbors_left, left_id=ids, k=k),
        "neighbors_right": traced(model.neighbors_right, right_id=ids, k=k),
        "embed_left": traced(model.embed_left, left_id=ids),
        "embed_right": traced(model.embed_right, right_id=ids),
    }


def _named(name: str, spec: tf.TensorSpec) -> tf.TensorSpec:
    """`spec` under the name by which clients send it."""
    return tf.TensorSpec(spec.shape, spec.dtype, name=name)


def export(network: keras.Model, transform: tft.TFTransformOutput, shared: bool, directory: str) -> None:
    """Writes `network` with the vocabularies of `transform` as a SavedModel with every signature."""
    model = PublishedModel(network, transform, shared)
    concrete = {name: function.get_concrete_function() for name, function in signatures(model).items()}
    tf.saved_model.save(model, directory, signatures=concrete)


def _ids(transform: tft.TFTransformOutput, vocabulary: str) -> list[bytes]:
    return list(transform.vocabulary_by_name(vocabulary))


def _has(network: keras.Model, layer: str) -> bool:
    return any(candidate.name == layer for candidate in network.layers)


def _table(network: keras.Model, layer: str) -> np.ndarray:
    return np.asarray(network.get_layer(layer).get_weights()[0])


def _bias(network: keras.Model, layer: str, vectors: np.ndarray) -> np.ndarray:
    """Biases `[rows]` of a side, zero where the model has none."""
    return _table(network, layer)[:, 0] if _has(network, layer) else np.zeros(len(vectors), np.float32)
