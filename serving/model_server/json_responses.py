"""Converts arrays to JSON bodies of predict responses, as rows (`predictions`) or columns (`outputs`).

Follows the RESTful API page of TensorFlow Serving, with one exception. A string that is not valid UTF-8 is encoded as
`{"b64": ...}` under any output name. TensorFlow Serving would send bytes that JSON parsers refuse.
"""

from __future__ import annotations

import base64
import contextlib
import json
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import orjson
import tensorflow as tf

from serving.model_server.faults import Code, Fault, invalid
from serving.model_server.tensors import Array

_BINARY_SUFFIX = "_bytes"
_VALUES = 1 << 14  # that are written at a time
_FEW = 256
_HALVES = (np.dtype(np.float16).num, np.dtype(tf.bfloat16.as_numpy_dtype).num)


def answer(outputs: Mapping[str, Array], as_rows: bool) -> bytes:
    """Returns the response body of a predict request.

    Args:
      outputs: arrays by output alias.
      as_rows: whether to write `predictions`, a list of rows, instead of `outputs`, an object of columns.

    Raises:
      Fault: the row format is requested, but the outputs have different numbers of rows.
    """
    columns = None if as_rows else _at_once(outputs)
    if columns is not None:
        return dump({"outputs": columns if len(columns) > 1 else next(iter(columns.values()))})
    outputs = {
        name: array.astype(np.float32) if array.dtype.num in _HALVES else array for name, array in outputs.items()
    }
    if as_rows:
        return b'{"predictions":%b}' % _rows(outputs)
    written = {name: _column(name, array) for name, array in outputs.items()}
    if len(written) == 1:
        return b'{"outputs":%b}' % next(iter(written.values()))
    return b'{"outputs":{%b}}' % b",".join(b"%b:%b" % (dump(name), column) for name, column in written.items())


def _at_once(outputs: Mapping[str, Array]) -> dict[str, Any] | None:
    """Returns columns that orjson can write in one call, or None if there are many values or unusual ones."""
    columns: dict[str, Any] = {}
    left = _FEW
    for name, array in outputs.items():
        left -= array.size
        kind = array.dtype.kind
        if left < 0 or not array.ndim or kind not in "fiubO" or array.dtype.num in _HALVES:
            return None
        if kind == "O":
            columns[name] = _text(array.tolist(), name.endswith(_BINARY_SUFFIX))
        elif kind != "f" or all(map(math.isfinite, array.ravel().tolist())):  # NumPy takes longer for a few
            columns[name] = array
        else:
            return None
    return columns


def _rows(outputs: Mapping[str, Array]) -> bytes:
    sizes = {name: array.shape[0] if array.ndim else None for name, array in outputs.items()}
    if None in sizes.values() or len(set(sizes.values())) != 1:
        raise invalid(f"outputs have inconsistent batch sizes {sizes}. Use the columnar format with 'inputs'")
    if len(outputs) == 1:
        ((name, array),) = outputs.items()
        return _column(name, array)
    (size,) = set(sizes.values())
    assert size is not None

    def write(part: slice) -> bytes:
        finite = all(_is_finite(array[part]) for array in outputs.values())
        columns = [_json_ready(name, array[part], _is_finite(array[part])) for name, array in outputs.items()]
        return dump([dict(zip(outputs, row, strict=True)) for row in zip(*columns, strict=True)], finite)

    return _list(size, sum(array.size for array in outputs.values()), write)


def _column(name: str, array: Array) -> bytes:
    def write(part: Any) -> bytes:
        finite = _is_finite(array[part])
        return dump(_json_ready(name, array[part], finite), finite)

    return _list(array.shape[0], array.size, write) if array.ndim else write(())


def _list(rows: int, values: int, write: Callable[[slice], bytes]) -> bytes:
    """Writes a list. A long one is written some rows at a time, so that other threads run in between."""
    if values <= _VALUES:
        return write(slice(None))
    step = max(rows * _VALUES // values, 1)
    return b"[%b]" % b",".join(write(slice(start, start + step))[1:-1] for start in range(0, rows, step))


def _is_finite(array: Array) -> bool:
    return array.dtype.kind != "f" or bool(np.isfinite(array).all())


def _json_ready(name: str, array: Array, finite: bool) -> Any:
    """Converts an output to a numeric array or nested lists that orjson can write."""
    if array.dtype == object:
        return _text(array.tolist(), name.endswith(_BINARY_SUFFIX))
    if not finite:
        # Convert through the shortest text, so that a float32 of 0.1 is written as 0.1 and not as 0.10000000149.
        flat = np.array([float(str(value)) for value in array.reshape(-1)], dtype=object)
        return flat.reshape(array.shape).tolist()
    if array.dtype.kind not in "fiub":
        raise Fault(Code.UNIMPLEMENTED, f"output {name!r} of type {array.dtype.name} cannot be written as JSON")
    return np.ascontiguousarray(array) if array.ndim else array[()]


def _text(value: Any, binary: bool) -> Any:
    if isinstance(value, list):
        if not binary:
            with contextlib.suppress(AttributeError, UnicodeDecodeError):  # lists, and bytes that are no text
                return [item.decode("utf-8") for item in value]
        return [_text(item, binary) for item in value]
    data: bytes = value if isinstance(value, bytes) else str(value).encode()
    if not binary:
        with contextlib.suppress(UnicodeDecodeError):
            return data.decode("utf-8")
    return {"b64": base64.b64encode(data).decode("ascii")}


def dump(document: Any, finite: bool = True) -> bytes:
    """Writes JSON. If not `finite`, writes NaN and infinities as TensorFlow Serving does."""
    if finite:
        return orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY)
    return json.dumps(_plain(document), ensure_ascii=False).encode("utf-8")


def _plain(value: Any) -> Any:
    """Replaces arrays by lists for the JSON encoder of the standard library."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return orjson.loads(orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY)) if hasattr(value, "dtype") else value
