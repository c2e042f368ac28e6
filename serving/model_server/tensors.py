"""TensorProtos and NumPy arrays, in the encodings that TensorFlow Serving's clients expect."""

from __future__ import annotations

from typing import Any

import numpy as np

from serving.model_server.faults import Code, Fault, invalid
from serving.quick_import import import_tensorflow

tf = import_tensorflow()

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
    proto = tf.make_tensor_proto(np.empty((0,), array.dtype)) if array.dtype != object else _strings()
    proto.Clear()
    proto.dtype = tf.as_dtype(array.dtype).as_datatype_enum if array.dtype != object else tf.string.as_datatype_enum
    for size in array.shape:
        proto.tensor_shape.dim.add().size = size
    if proto.tensor_shape.ByteSize() == 0:
        proto.tensor_shape.SetInParent()
    try:
        field, view = _FIELDS[array.dtype.name]
    except KeyError:
        raise Fault(Code.UNIMPLEMENTED, f"an output of type {array.dtype.name} cannot be encoded") from None
    flat = np.ascontiguousarray(array).reshape(-1)
    getattr(proto, field).extend((flat.view(view) if view is not None else flat).tolist())
    return proto


def _strings() -> Any:
    return tf.make_tensor_proto([b""])
