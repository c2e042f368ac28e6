"""TensorProtos and NumPy arrays, in the encodings that TensorFlow Serving's clients expect."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2

from serving.model_server.faults import Code, Fault, invalid

Array = np.ndarray[Any, Any]

# The field of a TensorProto that holds values of a type, and the type in which Python hands them over. Clients read
# these fields, so an answer must not be packed into `tensor_content`, as `tf.make_tensor_proto` would.
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
    """The array of TensorProto `proto`, the input called `name`.

    Raises:
      Fault: its values do not fit its shape, or its type holds no values.
    """
    try:
        return np.asarray(tf.make_ndarray(proto))
    except (TypeError, ValueError, IndexError) as error:
        raise invalid(f"input {name!r} is not a valid TensorProto: {error}") from None


def to_proto(array: Array, as_content: bool = False) -> Any:
    """A TensorProto of `array`, values in the typed fields, or packed into `tensor_content`."""
    if as_content and array.dtype != object:
        return tf.make_tensor_proto(array)
    try:
        field, view = _FIELDS[array.dtype.name]
    except KeyError:
        raise Fault(Code.UNIMPLEMENTED, f"an output of type {array.dtype.name} cannot be encoded") from None
    proto = tensor_pb2.TensorProto(dtype=_number(array.dtype))
    proto.tensor_shape.SetInParent()
    for size in array.shape:
        proto.tensor_shape.dim.add(size=size)
    flat = np.ascontiguousarray(array).reshape(-1)
    getattr(proto, field).extend((flat.view(view) if view is not None else flat).tolist())
    return proto


@functools.cache
def _number(dtype: np.dtype[Any]) -> int:
    """TensorFlow's number of a type; objects are strings."""
    return int((tf.string if dtype.kind == "O" else tf.as_dtype(dtype)).as_datatype_enum)
