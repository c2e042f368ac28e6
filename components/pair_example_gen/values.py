"""Converts typed columns of Parquet and TFRecord files to ids and numbers."""

from __future__ import annotations

import uuid

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

_WHOLE = r"^[+-]?[0-9]+$"
_UUID_BYTES = 16
# A float has exact whole numbers up to two to this power.
_EXACT_BITS = {pa.float16(): 11, pa.float32(): 24, pa.float64(): 53}


def is_id(role: str) -> bool:
    """Returns whether a column of this role holds ids."""
    return role in ("left", "right")


# The beginning of the role of a feature of an entity, and what joins the values of a list in such a column.
FEATURE = "feature "
UNIT_SEPARATOR = "\x1f"


def is_feature(role: str) -> bool:
    """Returns whether a column of this role holds features, which may be lists."""
    return role.startswith(FEATURE)


def is_text(type_: pa.DataType) -> bool:
    """Returns whether a column holds text, as strings or bytes."""
    kinds = pa.types
    return any(
        kind(type_)
        for kind in (
            kinds.is_string,
            kinds.is_large_string,
            kinds.is_string_view,
            kinds.is_binary,
            kinds.is_large_binary,
            kinds.is_binary_view,
        )
    )


def is_uuid(type_: pa.DataType) -> bool:
    """Returns whether a column holds 16 bytes a value, which is how Parquet stores a UUID."""
    storage = type_.storage_type if isinstance(type_, pa.BaseExtensionType) else type_
    return bool(pa.types.is_fixed_size_binary(storage) and storage.byte_width == _UUID_BYTES)


def can_be(role: str, type_: pa.DataType) -> bool:
    """Returns whether a column of this type can have this role."""
    kinds = pa.types
    value = type_.value_type if kinds.is_dictionary(type_) or (is_feature(role) and is_list(type_)) else type_
    if is_text(value) or kinds.is_integer(value) or kinds.is_floating(value) or kinds.is_decimal(value):
        return True
    if kinds.is_boolean(value):
        return role not in ("weight", "time")
    return is_uuid(value) if is_id(role) else role == "time" and (kinds.is_timestamp(value) or kinds.is_date(value))


def is_list(type_: pa.DataType) -> bool:
    """Returns whether a column holds lists."""
    return bool(pa.types.is_list(type_) or pa.types.is_large_list(type_))


def as_plain(column: pa.Array) -> pa.Array:
    """Converts text to binary, and lists to text with `UNIT_SEPARATOR`. Other values stay unchanged."""
    column = _decoded(column)
    if is_list(column.type):
        column = pc.binary_join(column.cast(pa.list_(pa.string())), UNIT_SEPARATOR)
    return column.cast(pa.binary()) if is_text(column.type) else column


def as_ids(column: pa.Array, side: str, reasons: np.ndarray) -> pa.Array:
    """Converts ids to binary: text as it is, whole numbers as their digits, UUIDs in their usual form.

    Args:
      column: a column of one of the types that `can_be` allows. NaN is a missing id.
      side: left or right.
      reasons: object `[n]`. The function sets the reason of each id that is no whole number.
    """
    column = _decoded(column)
    if isinstance(column, pa.ExtensionArray):
        column = column.storage
    if is_text(column.type):
        return column.cast(pa.binary())
    if is_uuid(column.type):
        texts = [None if value is None else str(uuid.UUID(bytes=value)) for value in column.to_pylist()]
        return pa.array(texts, pa.string()).cast(pa.binary())
    if pa.types.is_floating(column.type):
        return _whole_floats(column, side, reasons)
    text = column.cast(pa.string())
    if pa.types.is_decimal(column.type):
        text = pc.replace_substring_regex(text, r"\.0*$", "")
        _mark(reasons, pc.invert(pc.match_substring_regex(text, _WHOLE)), f"{side} id is not a whole number")
    return text.cast(pa.binary())


def _whole_floats(column: pa.Array, side: str, reasons: np.ndarray) -> pa.Array:
    exact = 2 ** _EXACT_BITS[column.type]
    values = column.cast(pa.float64())
    values = pc.if_else(pc.is_nan(values), pa.scalar(None, pa.float64()), values)
    large = pc.greater(pc.abs(values), float(exact))
    _mark(reasons, large, f"{side} id is a float above {exact:,}, which has no exact whole numbers")
    values = pc.if_else(large, pa.scalar(0.0), values)
    _mark(reasons, pc.not_equal(pc.floor(values), values), f"{side} id is not a whole number")
    return pc.floor(values).cast(pa.int64()).cast(pa.string()).cast(pa.binary())


def _mark(reasons: np.ndarray, broken: pa.Array, reason: str) -> None:
    mask = broken.fill_null(False).to_numpy(zero_copy_only=False)
    reasons[mask & (reasons == "")] = reason


def _decoded(column: pa.Array) -> pa.Array:
    return column.dictionary_decode() if pa.types.is_dictionary(column.type) else column
