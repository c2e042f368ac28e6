"""Warm-up requests for TensorFlow Serving.

The first request of a signature is slower, because TensorFlow optimizes the graph. A server replays the file
`assets.extra/tf_serving_warmup_requests` before it serves a version, so that clients do not wait.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

from trainer import features

REQUESTS = os.path.join("assets.extra", "tf_serving_warmup_requests")
_K = 10


def write_requests(model: str, inputs_of: Mapping[str, Mapping[str, Any]]) -> None:
    """Writes one request per signature into a SavedModel.

    Args:
      model: the directory of the SavedModel.
      inputs_of: the inputs of each signature by name. An array keeps its type.
    """
    path = os.path.join(model, REQUESTS)
    tf.io.gfile.makedirs(os.path.dirname(path))
    with tf.io.TFRecordWriter(path) as out:
        for signature, inputs in inputs_of.items():
            out.write(_log(signature, inputs).SerializeToString())


def requests(left: bytes, right: bytes) -> dict[str, dict[str, Any]]:
    """Returns the inputs of each signature by name."""
    of_left, of_right = {features.LEFT_ID: [left]}, {features.RIGHT_ID: [right]}
    k = {"k": _K}
    filters = {"exclude": [b""], "candidates": []}
    return {
        "serving_default": {"examples": [_example(left, right)]},
        "score": of_left | of_right,
        "similar_right": of_left | k,
        "similar_left": of_right | k,
        "similar_right_filtered": of_left | k | filters,
        "similar_left_filtered": of_right | k | filters,
        "neighbors_left": of_left | k,
        "neighbors_right": of_right | k,
        "embed_left": of_left,
        "embed_right": of_right,
    }


def unseen_requests(left: bytes, right: bytes) -> dict[str, dict[str, np.ndarray]]:
    """Returns the inputs of each signature for unseen entities by name."""
    k, none = {"k": np.array(_K, np.int32)}, np.zeros(0, np.float32)
    given_left, given_right = ({"given_id": np.array([[name]], object), "given_score": none} for name in (left, right))
    return {
        "embed_left_from": given_right,
        "embed_right_from": given_left,
        "recommend_right": given_right | k,
        "recommend_left": given_left | k,
    }


def _log(signature: str, inputs: Mapping[str, Any]) -> prediction_log_pb2.PredictionLog:
    log = prediction_log_pb2.PredictionLog()
    request = log.predict_log.request
    request.model_spec.signature_name = signature
    for name, value in inputs.items():
        request.inputs[name].CopyFrom(tf.make_tensor_proto(value, _type(name, value)))
    return log


def _type(name: str, value: Any) -> tf.DType:
    if isinstance(value, np.ndarray | np.generic):
        return tf.as_dtype(value.dtype)
    return tf.int32 if name == "k" else tf.string


def _example(left: bytes, right: bytes) -> bytes:
    example = tf.train.Example()
    example.features.feature[features.LEFT_ID].bytes_list.value.append(left)
    example.features.feature[features.RIGHT_ID].bytes_list.value.append(right)
    serialized: bytes = example.SerializeToString()
    return serialized
