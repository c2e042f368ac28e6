"""The SavedModel of a published model: its signatures and files.

It contains the vocabularies of the transform graph, the embedding tables and the ids. It needs only TensorFlow.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import keras
import tensorflow as tf

from trainer.data.transform_graph import TransformGraph
from trainer.entity_features.described import Described
from trainer.export import warmup
from trainer.export.approximate import ApproximateRankings, is_wanted
from trainer.export.feature_signatures import FeatureSide, FeatureSignatures
from trainer.export.published_model import NO_LIMITS, Outputs, PublishedModel
from trainer.export.sides import is_normalized
from trainer.export.unseen import Unseen
from trainer.index.facts import IndexFacts
from trainer.model.fold_in import FoldIn
from trainer.settings import Approximate


def signatures(model: PublishedModel) -> dict[str, Any]:
    """Returns a `tf.function` for each signature by name. Its inputs have the names that clients use."""

    def traced(function: Callable[..., Outputs], **inputs: tf.TensorSpec) -> Any:
        specs = [_named(name, spec) for name, spec in inputs.items()]
        # There is no Python control flow over tensors. Checking for it would take half of the export time.
        return tf.function(function, input_signature=specs, autograph=False)

    ids = tf.TensorSpec([None], tf.string)
    k = tf.TensorSpec([], tf.int32)
    of_features = FeatureSignatures(model).all() if model.described else {}
    # Of one or two dimensions.
    filters = {"exclude": tf.TensorSpec(None, tf.string), "candidates": ids}
    found = {
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
        **{name: traced(function, **inputs) for name, (function, inputs) in of_features.items()},
    }
    if model.fold_in_left is None:
        return found
    given = {"given_id": tf.TensorSpec([None, None], tf.string), "given_score": tf.TensorSpec(None, tf.float32)}
    for side, other in (("left", "right"), ("right", "left")):
        unseen = Unseen(model, side)
        found[f"embed_{side}_from"] = traced(unseen.embed, **given)
        found[f"recommend_{other}"] = traced(unseen.recommend, **given, k=k)
    return found


def _named(name: str, spec: tf.TensorSpec) -> tf.TensorSpec:
    """Returns `spec` with the input name that clients use."""
    return tf.TensorSpec(spec.shape, spec.dtype, name=name)


def export(
    network: keras.Model,
    transform: TransformGraph,
    shared: bool,
    directory: str,
    hashes: int = 1,
    scores: tuple[float, float] = NO_LIMITS,
    described: Mapping[str, Described] | None = None,
    fold_in: FoldIn | None = None,
    approximate: Approximate = False,
    log_odds: float = 0.0,
) -> IndexFacts | None:
    """Exports a SavedModel with every signature and with warm-up requests.

    Args:
      network: the trained network.
      transform: the transform graph, which encodes ids.
      shared: whether both sides use one table.
      directory: where the SavedModel is written.
      hashes: the number of rows of each unknown id.
      scores: the lowest and the highest raw score of training.
      described: what the model knows about features, by side.
      fold_in: how vectors of unseen entities are found, or None for a model without signatures for them.
      approximate: whether it has approximate rankings.
      log_odds: the log odds of the higher of two raw scores at a score of 1. 0 for other models.

    Returns:
      Facts about the index of approximate rankings, or None if there is none.
    """
    model = PublishedModel(network, transform, shared, hashes, scores, fold_in, log_odds)
    normalized = is_normalized(network)
    model.described = {side: FeatureSide(side, known, normalized) for side, known in (described or {}).items()}
    functions = signatures(model)
    left, right = ((side.ids[:1].numpy().tolist() or [b""])[0] for side in (model.left, model.right))
    requests = warmup.requests(left, right) | (FeatureSignatures(model).examples() if described else {})
    if fold_in is not None:
        requests |= warmup.unseen_requests(left, right)
    index = None
    if is_wanted(approximate, model):
        model.approximate = ApproximateRankings(model, functions)
        functions |= model.approximate.signatures()
        requests |= model.approximate.requests(requests)
        index = model.approximate.facts
    # They are traced here and not before, when TensorFlow would trace the functions that they share once more.
    tf.saved_model.save(model, directory, signatures=functions)
    warmup.write_requests(directory, requests)
    return index
