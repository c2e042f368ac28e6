"""Converts between TensorProtos and NumPy arrays, in the encodings that clients of TensorFlow Serving expect."""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2

from serving.model_server.faults import Code, Fault, invalid

Array = np.ndarray[Any, Any]

_TEXT, _INT32 = tf.string.as_datatype_enum, tf.int32.as_datatype_enum

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
    if proto.dtype == _TEXT and proto.string_val:
        shape = [dimension.size for dimension in proto.tensor_shape.dim]
        if math.prod(shape) == len(proto.string_val):  # as TensorFlow does, in a fifth of the time
            return np.array(list(proto.string_val), dtype=object).reshape(shape)
    elif proto.dtype == _INT32 and len(proto.int_val) == 1 and not (proto.tensor_content or proto.tensor_shape.dim):
        return np.array(proto.int_val[0], np.int32)
    try:
        return np.asarray(tf.make_ndarray(proto))
    except (TypeError, ValueError, IndexError, OverflowError) as error:
        raise invalid(f"input {name!r} is not a valid TensorProto: {error}") from None


def to_proto(array: Array, as_content: bool = False) -> Any:
    """Converts an array to a TensorProto with typed fields or, if `as_content`, packed `tensor_content`."""
    proto = tensor_pb2.TensorProto()
    write(proto, array, as_content)
    return proto


def write(proto: Any, array: Array, as_content: bool = False) -> None:
    """Writes an array to an empty TensorProto. For the arguments, see `to_proto`.

    Raises:
      Fault: the array has a type that clients cannot read.
    """
    if as_content and array.dtype != object:
        proto.CopyFrom(tf.make_tensor_proto(array))
        return
    try:
        field, view = _FIELDS[array.dtype.name]
    except KeyError:
        raise Fault(Code.UNIMPLEMENTED, f"cannot encode an output of type {array.dtype.name}") from None
    proto.dtype = _number(array.dtype)
    shape = proto.tensor_shape
    shape.SetInParent()
    for size in array.shape:
        shape.dim.add().size = size
    flat = array.ravel()
    getattr(proto, field).extend((flat.view(view) if view is not None else flat).tolist())


@functools.cache
def _number(dtype: np.dtype[Any]) -> int:
    """Returns the number of the TensorFlow type. NumPy objects are strings."""
    return int((tf.string if dtype.kind == "O" else tf.as_dtype(dtype)).as_datatype_enum)
