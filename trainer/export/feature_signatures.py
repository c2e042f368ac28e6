"""The signatures for entities that training has not seen: features in, scores, vectors and nearest entities out.

They exist for the sides that have features. An input is named by its side and its feature, such as `right_genres`.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from trainer import features
from trainer.entity_features.described import Described
from trainer.entity_features.settings import FeatureColumn
from trainer.export.published_model import Outputs, PublishedModel
from trainer.export.sides import SideVariables

Signature = tuple[Callable[..., Outputs], dict[str, tf.TensorSpec]]

_K = tf.TensorSpec([], tf.int32)
_IDS = tf.TensorSpec([None], tf.string)
_EXAMPLE_K = 10
_OTHER = {features.LEFT: features.RIGHT, features.RIGHT: features.LEFT}


class FeatureSide(tf.Module):
    """Computes the vectors of entities of a side from their features.

    Args:
      side: left or right.
      described: the encoder and the map.
      normalized: whether vectors are divided by their length.
    """

    def __init__(self, side: str, described: Described, normalized: bool) -> None:
        super().__init__(name=f"{side}_features")
        self._side, self._encoder, self._normalized = side, described.encoder, normalized
        self.weights = tf.Variable(described.map.weights, trainable=False, name="weights")

    @property
    def inputs(self) -> dict[str, tf.TensorSpec]:
        """The inputs: a category or a text is string `[n]`, tags are string `[n, t]`, a number is float `[n]`."""
        return {f"{self._side}_{name}": _spec(column) for name, column in self._encoder.columns.items()}

    def compute(self, *values: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Computes vectors.

        Args:
          values: of `inputs`, in their order. Empty texts and NaN are missing values.

        Returns:
          Vectors `[n, d]`, biases `[n]`, and whether any value is known, bool `[n]`.
        """
        count = tf.shape(values[0], tf.int64)[0]
        raw = {name: _present(value) for name, value in zip(self._encoder.columns, values, strict=True)}
        rows, columns, numbers, known = self._encoder(raw, count)
        parts = tf.gather(self.weights.read_value(), columns) * numbers[:, None]
        found = tf.math.unsorted_segment_sum(parts, rows, count)
        vectors = found[:, :-1]
        if self._normalized:
            vectors = tf.math.l2_normalize(vectors, axis=-1)
        return vectors, found[:, -1], known > 0

    def example(self) -> dict[str, np.ndarray]:
        """Returns values of `inputs` for one entity of which nothing is known."""
        blank = {tf.string: np.array([b""], object), tf.float32: np.zeros(1, np.float32)}
        found = {name: blank[spec.dtype] for name, spec in self.inputs.items()}
        return {name: value[:, None] if self.inputs[name].shape.rank == 2 else value for name, value in found.items()}


def _spec(column: FeatureColumn) -> tf.TensorSpec:
    if column.kind == "number":
        return tf.TensorSpec([None], tf.float32)
    return tf.TensorSpec([None, None] if column.kind == "tags" else [None], tf.string)


def _present(values: tf.Tensor) -> tf.SparseTensor:
    """Returns the values that are not missing, `[n, t]` of dense `[n]` or `[n, t]`."""
    values = values if values.shape.rank == 2 else values[:, None]
    present = ~tf.math.is_nan(values) if values.dtype == tf.float32 else tf.not_equal(values, b"")
    places = tf.where(present)
    return tf.SparseTensor(places, tf.gather_nd(values, places), tf.shape(values, tf.int64))


class FeatureSignatures:
    """The signatures with features of a published model.

    Args:
      model: the published model, with at least one side that has features.
    """

    def __init__(self, model: PublishedModel) -> None:
        self._model = model
        self._described: dict[str, FeatureSide] = model.described
        self._sides = {features.LEFT: model.left, features.RIGHT: model.right}

    def all(self) -> dict[str, Signature]:
        """Returns each signature by name, with the specs of its inputs by name."""
        inputs = [self._described[side].inputs for side in self._sides if side in self._described]
        ids = {features.LEFT_ID: _IDS, features.RIGHT_ID: _IDS}
        found: dict[str, Signature] = {"score_features": (self._score, {**ids, **inputs[0], **(inputs[-1])})}
        for side, described in self._described.items():
            given = described.inputs
            found[f"embed_{side}_features"] = (self._embed(side), given)
            found[f"similar_{_OTHER[side]}_features"] = (self._similar(side), {**given, "k": _K})
            found[f"neighbors_{side}_features"] = (self._neighbors(side), {**given, "k": _K})
        return found

    def examples(self) -> dict[str, dict[str, np.ndarray]]:
        """Returns inputs of each signature for warm-up requests."""
        blank = {name: np.array([b""], object) for name in (features.LEFT_ID, features.RIGHT_ID)}
        blank["k"] = np.array(_EXAMPLE_K, np.int32)
        for described in self._described.values():
            blank |= described.example()
        return {name: {key: blank[key] for key in specs} for name, (_, specs) in self.all().items()}

    def _score(self, left_id: tf.Tensor, right_id: tf.Tensor, *values: tf.Tensor) -> Outputs:
        """Scores pairs. A known id has its own vector, and an unknown one that of its features.

        Returns:
          The outputs of `score`.
        """
        model, taken = self._model, 0
        found = []
        for side, ids in ((features.LEFT, left_id), (features.RIGHT, right_id)):
            variables = self._sides[side]
            rows = model.left_rows(ids) if side == features.LEFT else model.right_rows(ids)
            vectors, biases, known = variables.vectors_of(rows), variables.biases_of(rows), variables.known(rows)
            if side in self._described:
                count = len(self._described[side].inputs)
                of_features, of_biases, _ = self._described[side].compute(*values[taken : taken + count])
                taken += count
                vectors = tf.where(known[:, None], vectors, of_features)
                biases = tf.where(known, biases, of_biases)
            found.append((vectors, biases, known))
        (left, left_bias, left_known), (right, right_bias, right_known) = found
        score = tf.reduce_sum(left * right, axis=1) + left_bias + right_bias + model.offset
        return {
            "score": score,
            "strength": tf.abs(score),
            "value": model.value_of(score),
            "left_known": left_known,
            "right_known": right_known,
        }

    def _embed(self, side: str) -> Callable[..., Outputs]:
        def embed(*values: tf.Tensor) -> Outputs:
            vectors, _, known = self._described[side].compute(*values)
            return {"embedding": vectors, "known": known}

        return embed

    def _similar(self, side: str) -> Callable[..., Outputs]:
        """The entities of the other side with the highest score, best first, `[n, k]`."""
        candidates = self._sides[_OTHER[side]]

        def similar(*inputs: tf.Tensor) -> Outputs:
            *values, k = inputs
            vectors, biases, known = self._described[side].compute(*values)
            scores = candidates.products(vectors) + candidates.bias.read_value()[: candidates.count]
            return _nearest(candidates, scores, k, (biases + self._model.offset)[:, None], known)

        return similar

    def _neighbors(self, side: str) -> Callable[..., Outputs]:
        """The entities of the same side with the highest cosine, `[n, k]`."""
        candidates = self._sides[side]

        def neighbors(*inputs: tf.Tensor) -> Outputs:
            *values, k = inputs
            vectors, _, known = self._described[side].compute(*values)
            directions = tf.math.l2_normalize(vectors, axis=-1)
            cosines = candidates.products(directions) * candidates.inverse_lengths.read_value()[: candidates.count]
            return _nearest(candidates, cosines, k, tf.zeros([], tf.float32), known)

        return neighbors


def _nearest(candidates: SideVariables, scores: tf.Tensor, k: tf.Tensor, shift: tf.Tensor, known: tf.Tensor) -> Outputs:
    best, values = candidates.nearest(scores, k, candidates.count)
    return {f"{candidates.side}_id": candidates.ids_of(best), "score": values + shift, "known": known}
