"""Converts between TensorProtos and NumPy arrays, in the encodings that clients of TensorFlow Serving expect."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2

from serving.model_server.faults import Code, Fault, invalid

Array = np.ndarray[Any, Any]

# By NumPy type: the TensorProto field of the values, and the type to view them as. Clients read these fields, so a
# response must not use `tensor_content`, as `tf.make_tensor_proto` would.
_FIELDS = {
    "float32": ("float_val", None),
    "float64": ("double_val", None),
    "int32": ("int_val", None),
    "int16": ("int_val", None),
    "int8": ("int_val", None),
    "uint16": ("int_val", None),
    "uint8": ("int_val", None),
    "int64": ("int64_val", None),
    "uint32": ("uint32_val", None),
    "uint64": ("uint64_val", None),
    "bool": ("bool_val", None),
    "object": ("string_val", None),
    "float16": ("half_val", np.uint16),
    "bfloat16": ("half_val", np.uint16),
    "complex64": ("scomplex_val", np.float32),
    "complex128": ("dcomplex_val", np.float64),
}


def to_array(proto: Any, name: str) -> Array:
    """Converts a TensorProto to an array. Bound its size first (`serving.model_server.tensor_checks`).

    Args:
      proto: the TensorProto.
      name: the input's name for error messages.

    Raises:
      Fault: the values do not fit the shape, or the type cannot hold values.
    """
    try:
        return np.asarray(tf.make_ndarray(proto))
    except (TypeError, ValueError, IndexError, OverflowError) as error:
        raise invalid(f"input {name!r} is not a valid TensorProto: {error}") from None


def to_proto(array: Array, as_content: bool = False) -> Any:
    """Converts an array to a TensorProto with typed fields or, if `as_content`, packed `tensor_content`."""
    if as_content and array.dtype != object:
        return tf.make_tensor_proto(array)
    try:
        field, view = _FIELDS[array.dtype.name]
    except KeyError:
        raise Fault(Code.UNIMPLEMENTED, f"cannot encode an output of type {array.dtype.name}") from None
    proto = tensor_pb2.TensorProto(dtype=_number(array.dtype))
    proto.tensor_shape.SetInParent()
    for size in array.shape:
        proto.tensor_shape.dim.add(size=size)
    flat = np.ascontiguousarray(array).reshape(-1)
    getattr(proto, field).extend((flat.view(view) if view is not None else flat).tolist())
    return proto


@functools.cache
def _number(dtype: np.dtype[Any]) -> int:
    """Returns the number of the TensorFlow type. NumPy objects are strings."""
    return int((tf.string if dtype.kind == "O" else tf.as_dtype(dtype)).as_datatype_enum)
