"""The SavedModel of a published model: its signatures, as clients call them, and its files.

It holds the vocabularies of the transform graph, the embedding tables and the catalogue of ids, and needs nothing but
TensorFlow to load.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from trainer.data.transform_graph import TransformGraph
from trainer.export import warmup
from trainer.export.published_model import Outputs, PublishedModel


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
