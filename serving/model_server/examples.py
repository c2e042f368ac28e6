"""Inputs and results of classify and regress, from JSON or from messages."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import input_pb2

from serving.model_server.calls import Call, check_rows, hold_input
from serving.model_server.faults import invalid
from serving.model_server.json_requests import decode_base64, shown
from serving.model_server.json_responses import dump
from serving.model_server.tensor_checks import STRING_BYTES
from serving.model_server.tensors import Array

_INT64 = range(-(2**63), 2**63)


def serialized(call: Call, message: Any) -> Array:
    """Serializes the examples of an Input, each merged with the shared context.

    Args:
      call: the request, which counts the memory.
      message: an `Input` message.

    Returns:
      Serialized tf.Examples, bytes of shape `[n]`.

    Raises:
      Fault: the Input has no example, too many of them, or a context that is too large for so many.
    """
    kind = message.WhichOneof("kind")
    listed = getattr(message, kind) if kind else None
    if listed is None or not listed.examples:
        raise invalid("Input is empty.")
    count = len(listed.examples)
    check_rows(count, call.limits)
    # The context is copied to every example.
    shared = listed.context.ByteSize() if kind == "example_list_with_context" else 0
    hold_input(call, count * (STRING_BYTES + shared) + message.ByteSize())
    # Concatenated messages merge. The example comes after the context, so its features take precedence.
    context = listed.context.SerializeToString() if shared else b""
    return np.array([context + example.SerializeToString() for example in listed.examples], dtype=object)


def input_of(document: dict[str, Any]) -> Any:
    """Converts a JSON body to an Input. It has the key `examples` and optionally `context`.

    Raises:
      Fault: a key is missing or of the wrong type.
    """
    examples = document.get("examples")
    if not isinstance(examples, list):
        raise invalid("Missing key 'examples', which must be a list of objects")
    if not examples:
        raise invalid("'examples' value is an empty array")
    message = input_pb2.Input()
    if "context" in document:
        message.example_list_with_context.context.CopyFrom(_example(document["context"]))
        message.example_list_with_context.examples.extend(_example(value) for value in examples)
    else:
        message.example_list.examples.extend(_example(value) for value in examples)
    return message


def _example(value: Any) -> Any:
    if not isinstance(value, dict):
        raise invalid(f"Example must be JSON object but got {shown(value)}")
    example = tf.train.Example()
    for name, content in value.items():
        _fill(example.features.feature[name], content if isinstance(content, list) else [content], name)
    return example


def _fill(feature: Any, values: list[Any], name: str) -> None:
    """Fills the list of the type that all `values` share. As in TensorFlow Serving, integers and booleans are int64."""
    kinds = {_kind(value, name) for value in values}
    if len(kinds) > 1:
        raise invalid(f"Unexpected element type in feature: {name}: it mixes {' and '.join(sorted(kinds))}")
    if kinds == {"bytes"}:
        feature.bytes_list.value.extend(_bytes(value, name) for value in values)
    elif kinds == {"float"}:
        feature.float_list.value.extend(values)
    elif kinds:
        feature.int64_list.value.extend(int(value) for value in values)


def _kind(value: Any, name: str) -> str:
    if isinstance(value, str) or (isinstance(value, dict) and isinstance(value.get("b64"), str) and len(value) == 1):
        return "bytes"
    if isinstance(value, float):
        return "float"
    if isinstance(value, int):
        if value not in _INT64:
            raise invalid(f"Feature: {name} has an element beyond int64: {value}")
        return "int64"
    raise invalid(f"Feature: {name} has element with unexpected JSON type: {shown(value)}")


def _bytes(value: Any, name: str) -> bytes:
    return value.encode() if isinstance(value, str) else decode_base64(value["b64"], name)


def classifications_json(result: Any) -> bytes:
    """Returns the response body of a classify request: label and score of every class of every example."""
    rows = [[[entry.label, entry.score] for entry in row.classes] for row in result.classifications]
    scores = [entry.score for row in result.classifications for entry in row.classes]
    return dump({"results": [[[label, np.float32(score)] for label, score in row] for row in rows]}, _finite(scores))


def regressions_json(result: Any) -> bytes:
    """Returns the response body of a regress request: one value per example."""
    values = [entry.value for entry in result.regressions]
    if _finite(values):
        return dump({"results": np.array(values, np.float32)})
    return dump({"results": [float(str(np.float32(value))) for value in values]}, finite=False)


def _finite(values: list[float]) -> bool:
    return bool(np.isfinite(np.array(values, np.float64)).all())
