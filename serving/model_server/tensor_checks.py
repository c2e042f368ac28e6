"""Checks the tensors of a request before anything is allocated for them.

A TensorProto may name a shape of any size and carry one value, which is repeated. So the size of a tensor is unrelated
to the size of the message, and must be bounded before the tensor is built.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from serving.model_server.calls import Call, check_rows, hold_input
from serving.model_server.faults import invalid
from serving.model_server.tensors import Array, to_array

# A string costs the pointer in NumPy, the bytes object and TensorFlow's own string, plus its content.
STRING_BYTES = 64
MAX_RANK = 64  # of NumPy
_TYPES = 256  # more than TensorFlow has
_NO_VALUES = (tf.variant.as_datatype_enum, tf.resource.as_datatype_enum)
_TEXT = tf.string.as_datatype_enum


def decode(call: Call, signature: Any, protos: Mapping[str, Any]) -> dict[str, Array]:
    """Converts the inputs of a request.

    Args:
      call: the request, which counts the memory.
      signature: the SignatureDef that the request calls.
      protos: TensorProtos by input alias.

    Returns:
      Arrays by input alias.

    Raises:
      Fault: an alias, type, shape or number of values does not fit. Nothing was allocated.
    """
    check_aliases(signature, protos)
    size, rows = 0, 1
    for alias, proto in protos.items():
        shape = [dimension.size for dimension in proto.tensor_shape.dim]
        size += _size(proto, shape, alias, signature.inputs[alias].dtype)
        rows = max([rows, *shape[:1]])
    check_rows(rows, call.limits)
    hold_input(call, size)
    return {alias: to_array(proto, alias) for alias, proto in protos.items()}


def check_aliases(signature: Any, inputs: Mapping[str, Any]) -> None:
    """Refuses inputs that the signature does not have, and missing inputs without a default."""
    given, known = set(inputs), set(signature.inputs)
    missing = known - given - set(signature.defaults)
    if missing or given - known:
        raise invalid(
            f"input size does not match signature: {len(given)}!={len(known)}. Sent extra: {sorted(given - known)}. "
            f"Missing but required: {sorted(missing)}."
        )


def type_of(number: int, alias: str) -> tf.DType:
    """Returns the TensorFlow type of a number of the enumeration `DataType`.

    Raises:
      Fault: there is no such type, or its values cannot be sent.
    """
    kind = _base_type(number)
    if kind is None:
        raise invalid(f"input {alias!r} has the type {number}, which TensorFlow does not have")
    if kind.as_datatype_enum in _NO_VALUES:
        raise invalid(f"input {alias!r} has the type {kind.name}. A request cannot carry values of this type")
    return kind


@functools.lru_cache(_TYPES)
def _base_type(number: int) -> tf.DType | None:
    try:
        return tf.as_dtype(number).base_dtype
    except TypeError:
        return None


def _size(proto: Any, shape: list[int], alias: str, expected: int) -> int:
    """Returns the bytes that the tensor needs once it is built."""
    kind = type_of(proto.dtype, alias)
    if expected and proto.dtype != expected:
        raise invalid(f"input {alias!r} has the type {kind.name}. The signature expects {tf.as_dtype(expected).name}")
    if proto.tensor_shape.unknown_rank or min(shape, default=0) < 0:
        raise invalid(f"tensor parsing error: {alias}: the shape has an unknown rank or dimension")
    if len(shape) > MAX_RANK:
        raise invalid(f"tensor parsing error: {alias}: {len(shape)} dimensions, more than {MAX_RANK}")
    count = math.prod(shape)
    is_text = proto.dtype == _TEXT
    if proto.tensor_content and is_text:
        raise invalid(f"input {alias!r}: send strings in string_val, not in tensor_content")
    if proto.tensor_content and len(proto.tensor_content) != count * kind.size:
        raise invalid(
            f"tensor parsing error: {alias}: the shape {shape} of {kind.name} needs {count * kind.size} bytes, "
            f"tensor_content has {len(proto.tensor_content)}"
        )
    if not is_text:
        return count * kind.size
    # Repeating the last value repeats only a reference in NumPy, but a copy of the content in TensorFlow.
    missing = count - len(proto.string_val)
    repeated = missing * len(proto.string_val[-1]) if missing > 0 and proto.string_val else 0
    return count * STRING_BYTES + int(proto.ByteSize()) + repeated
