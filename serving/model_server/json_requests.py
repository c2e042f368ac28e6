"""Converts JSON bodies of predict requests to arrays, from rows (`instances`) or columns (`inputs`).

Follows the RESTful API page of TensorFlow Serving.
"""

from __future__ import annotations

import base64
import binascii
import functools
import json
from typing import Any

import numpy as np
import orjson

from serving.model_server import json_leniently, json_pieces
from serving.model_server.faults import Code, Fault, invalid
from serving.model_server.tensor_checks import MAX_RANK, type_of
from serving.model_server.tensors import Array

_SHOWN = 256
_STEP = 1 << 13
_INTEGERS = {"int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"}
_FLOATS = {"float16", "bfloat16", "float32", "float64"}


def parse(body: bytes | bytearray | memoryview) -> dict[str, Any]:
    """Parses a JSON object. Accepts a byte order mark, NaN and infinities, as TensorFlow Serving does.

    Raises:
      Fault: `body` is not a JSON object.
    """
    if isinstance(body, memoryview) or len(body) > json_pieces.PIECE_BYTES:
        document = json_pieces.parse(body, _parse_at_once)
    else:
        document = _parse_at_once(body)
    if not isinstance(document, dict):
        raise invalid(f"JSON Value: {shown(document)} Is not object")
    return document


def _parse_at_once(body: bytes | bytearray) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as strict:
        return json_leniently.parse(body, str(strict))


def discard(value: Any) -> None:
    """Frees a document that is no longer needed, in steps between which other threads run. Empties its lists."""
    if isinstance(value, dict):
        for item in value.values():
            discard(item)
    elif isinstance(value, list):
        if value and isinstance(value[0], list) and len(value[0]) > _STEP:
            for item in value:
                discard(item)
        while value:
            del value[-_STEP:]


def shown(value: Any) -> str:
    """Returns a value as JSON for an error message, truncated to 256 characters. Never fails."""
    text = ""
    try:
        # Piece by piece, because a value can be as large as a request.
        for piece in json.JSONEncoder().iterencode(value[: _SHOWN + 1] if isinstance(value, str) else value):
            text += piece
            if len(text) > _SHOWN:
                return text[:_SHOWN] + "..."
    except RecursionError:
        return text + "..."
    return text


def signature_name(document: dict[str, Any]) -> str:
    """Returns the `signature_name` of a request, or an empty string if it has none."""
    name = document.get("signature_name", "")
    if not isinstance(name, str):
        raise invalid(f"JSON Value: {shown(document)}: 'signature_name' key must be a string value.")
    return name


def inputs_of(document: dict[str, Any], signature: Any) -> tuple[dict[str, Array], bool]:
    """Extracts the inputs of a predict request.

    Args:
      document: the JSON body.
      signature: the SignatureDef that the request calls.

    Returns:
      Arrays by input alias, and whether the request has the row format.

    Raises:
      Fault: the request has neither or both formats, or a value does not fit its input.
    """
    rows, columns = "instances" in document, "inputs" in document
    if rows and columns:
        raise invalid("expecting only one of 'inputs' or 'instances' keys to exist")
    if not rows and not columns:
        raise invalid("Missing 'inputs' or 'instances' key")
    if rows:
        return _from_rows(document["instances"], signature), True
    return _from_columns(document["inputs"], signature), False


def _from_columns(value: Any, signature: Any) -> dict[str, Array]:
    infos = signature.inputs
    if not isinstance(value, dict) or _is_base64(value):
        if len(infos) != 1:
            raise invalid("'inputs' is a plain value or list, but the signature has several inputs. Send an object")
        ((alias, info),) = infos.items()
        return {alias: to_array(value, info.dtype, alias)}
    for alias in infos:
        if alias not in value and alias not in signature.defaults:
            raise invalid(f"Missing named input: {alias} in 'inputs' object.")
    return {alias: to_array(value[alias], info.dtype, alias) for alias, info in infos.items() if alias in value}


def _from_rows(rows: Any, signature: Any) -> dict[str, Array]:
    if not isinstance(rows, list):
        raise invalid("Expecting 'instances' to be an list/array")
    if not rows:
        raise invalid("No values in 'instances' array")
    named = [isinstance(row, dict) and not _is_base64(row) for row in rows]
    if any(named) != all(named):
        raise invalid(f"'instances' mixes objects and plain values, first at item {named.index(not named[0])}")
    if not named[0]:
        if len(signature.inputs) != 1:
            raise invalid("'instances' is a plain list, but the signature has several inputs. Send a list of objects")
        ((alias, info),) = signature.inputs.items()
        return {alias: to_array(rows, info.dtype, alias)}
    expected = set(signature.inputs)
    for number, row in enumerate(rows):
        if not expected - set(signature.defaults) <= row.keys() <= expected or row.keys() != rows[0].keys():
            raise invalid(
                f"Failed to process element: {number} of 'instances' list. JSON object: {shown(row)} "
                f"keys must be equal to: {','.join(sorted(expected))}"
            )
    return {
        alias: to_array([row[alias] for row in rows], info.dtype, alias)
        for alias, info in signature.inputs.items()
        if alias in rows[0]
    }


def _is_base64(value: Any) -> bool:
    return isinstance(value, dict) and len(value) == 1 and isinstance(value.get("b64"), str)


def to_array(value: Any, dtype: int, alias: str) -> Array:
    """Converts nested lists to an array.

    Args:
      value: a scalar or nested lists. Their nesting is the shape of the array.
      dtype: the number of a TensorFlow `DataType`.
      alias: the input's name for error messages.

    Raises:
      Fault: the lists are ragged, or a value does not have the type.
    """
    kind = type_of(dtype, alias)
    shape = _shape(value)
    if len(shape) > MAX_RANK:
        raise invalid(f"input {alias!r}: {len(shape)} nested lists, more than {MAX_RANK}")
    leaves: list[Any] = [value]
    for size in shape:
        if not all(isinstance(items, list) and len(items) == size for items in leaves):
            raise invalid(f"input {alias!r}: lists of different lengths or depths: {shown(value)}")
        leaves = [item for items in leaves for item in items]
    if any(isinstance(leaf, list) for leaf in leaves):
        raise invalid(f"input {alias!r}: lists of different lengths or depths: {shown(value)}")
    array = _strings(leaves, alias) if kind.name == "string" else _numbers(leaves, kind, alias)
    return array.reshape(shape)


def _shape(value: Any) -> tuple[int, ...]:
    shape = []
    while isinstance(value, list):
        shape.append(len(value))
        if not value:
            break
        value = value[0]
    return tuple(shape)


def _strings(leaves: list[Any], alias: str) -> Array:
    array = np.empty(len(leaves), dtype=object)
    for i, leaf in enumerate(leaves):
        if isinstance(leaf, str):
            array[i] = leaf.encode()
        elif _is_base64(leaf):
            array[i] = decode_base64(leaf["b64"], alias)
        else:
            raise _wrong_type(leaf, "string", alias)
    return array


def decode_base64(text: str, alias: str) -> bytes:
    """Decodes base64, with or without padding. Ignores white space, like absl::Base64Unescape of TensorFlow Serving."""
    try:
        compact = text if text.isalnum() else "".join(text.split())
        return base64.b64decode(compact + "=" * (-len(compact) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise invalid(f"input {alias!r}: unable to base64 decode {shown(text)}") from None


def _numbers(leaves: list[Any], kind: Any, alias: str) -> Array:
    allowed = {bool} if kind.name == "bool" else {int} if kind.name in _INTEGERS else {int, float}
    if kind.name != "bool" and kind.name not in _INTEGERS | _FLOATS:
        raise Fault(Code.UNIMPLEMENTED, f"input {alias!r}: JSON cannot be converted to type {kind.name}")
    for leaf in leaves:
        if type(leaf) not in allowed:
            raise _wrong_type(leaf, kind.name, alias)
    if kind.name in _INTEGERS:
        least, most = _bounds(kind.name)
        for leaf in leaves:
            if not least <= leaf <= most:
                raise _wrong_type(leaf, kind.name, alias)
    array = np.empty(len(leaves), dtype=kind.as_numpy_dtype)
    with np.errstate(over="ignore"):
        for start in range(0, len(leaves), _STEP):  # other threads run in between
            array[start : start + _STEP] = np.array(leaves[start : start + _STEP], dtype=array.dtype)
    return array


@functools.cache
def _bounds(kind: str) -> tuple[int, int]:
    bounds = np.iinfo(kind)
    return int(bounds.min), int(bounds.max)


def _wrong_type(value: Any, kind: str, alias: str) -> Fault:
    return invalid(f"input {alias!r}: JSON Value: {shown(value)} is not of expected type: {kind}")
